// The playground's page: GraphiQL with Stoa's name, its examples, and the workers that
// the server names. What differs between servers comes from the page's own JSON, see
// page.html; nothing here knows a host, and nothing is asked of another one.
import { DOC_EXPLORER_PLUGIN } from '@graphiql/plugin-doc-explorer';
import { HISTORY_PLUGIN } from '@graphiql/plugin-history';
import { createGraphiQLFetcher } from '@graphiql/toolkit';
import { GraphiQL } from 'graphiql';
import { createRoot } from 'react-dom/client';
import { ExamplesContext, EXAMPLES_PLUGIN } from './examples.jsx';
import { phone } from './phone.js';
import './style.css';

const { endpoint, tabs, workers } = JSON.parse(document.getElementById('settings').textContent);

// Monaco asks for a worker by label. Every label but these two is served by the plain
// editor worker, as in Monaco's own set-up.
globalThis.MonacoEnvironment = {
  getWorker: (_id, label) =>
    new Worker(workers[label] ?? workers.editor, { type: 'module', name: label }),
};

// Subscriptions go over a WebSocket to the same place; their headers go with its first message.
const socket = new URL(endpoint, location.href);
socket.protocol = socket.protocol === 'https:' ? 'wss:' : 'ws:';

// A phone has room for the query and its answer; the variables are one touch away.
const tools = phone.matches ? false : 'variables';

createRoot(document.getElementById('root')).render(
  <ExamplesContext value={tabs}>
    <GraphiQL
      fetcher={createGraphiQLFetcher({ url: endpoint, subscriptionUrl: socket.href })}
      defaultTabs={tabs}
      defaultEditorToolsVisibility={tools}
      referencePlugin={DOC_EXPLORER_PLUGIN}
      plugins={[EXAMPLES_PLUGIN, HISTORY_PLUGIN]}
      inputValueDeprecation
      schemaDescription
    >
      <GraphiQL.Logo>
        <span className="stoa-logo">Stoa</span>
      </GraphiQL.Logo>
    </GraphiQL>
  </ExamplesContext>,
);
