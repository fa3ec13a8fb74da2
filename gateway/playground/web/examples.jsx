// The panel that lists the examples, so that one which was edited or closed can be had
// again: GraphiQL shows its default tabs only to a browser that has no tabs yet.
import { pick, useGraphiQL, useGraphiQLActions } from '@graphiql/react';
import { createContext, use } from 'react';
import { phone } from './phone.js';

/** The examples of this page, as the server sent them: {title, about, query, variables, headers}. */
export const ExamplesContext = createContext([]);

export const EXAMPLES_PLUGIN = { title: 'Examples', icon: ExamplesIcon, content: Examples };

function ExamplesIcon() {
  return (
    <svg viewBox="0 0 20 20" fill="none" stroke="currentColor" strokeWidth="1.5" strokeLinejoin="round">
      <path d="M6.5 6.5 H17.5 V18 H6.5 Z" />
      <path d="M3 14 V2.5 H14" />
      <path d="m10.5 9.75 4 2.5 -4 2.5 Z" fill="currentColor" />
    </svg>
  );
}

function Examples() {
  const examples = use(ExamplesContext);
  const { addTab, setVisiblePlugin } = useGraphiQLActions();
  const { queryEditor, variableEditor, headerEditor } = useGraphiQL(
    pick('queryEditor', 'variableEditor', 'headerEditor'),
  );

  function open(example) {
    addTab();
    queryEditor.setValue(example.query);
    variableEditor.setValue(example.variables ?? '');
    headerEditor.setValue(example.headers ?? '');
    if (phone.matches) setVisiblePlugin(null); // there the panel lies over the tab
    queryEditor.focus();
  }

  return (
    <section aria-label="Examples" className="stoa-examples">
      <div className="graphiql-doc-explorer-title">Examples</div>
      <ul>
        {examples.map((example) => (
          <li key={example.title}>
            <button type="button" disabled={!queryEditor} onClick={() => open(example)}>
              <b>{example.title}</b>
              <span>{example.about}</span>
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}
