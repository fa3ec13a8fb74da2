package document

// How large a document may be. Its tokens and brackets are counted before it is parsed
// (scan), and its size with fragments written out before it is validated (measure), each in one
// pass: a document that is refused has cost no more than reading it.

import (
	"cmp"
	"errors"
	"strconv"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/lexer"

	"stoa/gateway/refusal"
)

const (
	// maxNesting is how deep brackets of any kind may lie in one another. Fields are bounded
	// by Limits.Depth, this is for other brackets, inline fragments above all. Parser and validator
	// recurse once per level, and an exhausted stack ends the process.
	maxNesting = 200

	// maxValueNesting is how deep lists and objects may lie in one another in a value.
	// Inputs nest a handful deep. An error about a value quotes it, and gqlparser copies it
	// once per level to do so.
	maxValueNesting = 32

	// validatedTimes is how much may be validated in all, as a multiple of Limits.Tokens. The
	// validator walks every operation and every fragment, and from each of them all
	// fragments that it reaches, so a chain of n fragments costs n².
	validatedTimes = 6

	// comparedTimes bounds the steps of checkOverlaps, as a multiple of Limits.Tokens. Two
	// walks over the largest valid document take twice validatedTimes; the rest is for fields
	// of interfaces, since they are compared with those of each type.
	comparedTimes = 40
)

// Limits bound one document; 0 is the default of each.
type Limits struct {
	Bytes      int // of the text
	Tokens     int // as written, and with fragments written out
	Depth      int // levels of fields, the leaves counted, with fragments written out
	Aliases    int // as written
	Directives int // as written
	Fragments  int
	RootFields int // names at the top of a response
	Cost       int // of one operation, in units of about one object in its response
}

// WithDefaults returns l with the default of each limit that is 0.
func (l Limits) WithDefaults() Limits {
	return Limits{
		// Twenty times the document of a page. The text of an article or comment to be stored belongs in
		// a variable.
		Bytes: cmp.Or(l.Bytes, 128<<10),
		// 25 times as many as GraphiQL's introspection has (186 as written, 250 with fragments written
		// out). Time to validate grows with it.
		Tokens: cmp.Or(l.Tokens, 5000),
		// GraphiQL's introspection has 15.
		Depth:      cmp.Or(l.Depth, 20),
		Aliases:    cmp.Or(l.Aliases, 200),
		Directives: cmp.Or(l.Directives, 100),
		// Room for a page of components with one fragment each, as with Relay.
		Fragments:  cmp.Or(l.Fragments, 500),
		RootFields: cmp.Or(l.RootFields, 50),
		Cost:       cmp.Or(l.Cost, defaultCost),
	}
}

// Validate returns an error for a limit that can't be one.
func (l Limits) Validate() error {
	if min(l.Bytes, l.Tokens, l.Depth, l.Aliases, l.Directives, l.Fragments, l.RootFields, l.Cost) < 0 {
		return errors.New("a limit of documents is negative; 0 is its default")
	}
	return nil
}

// scan counts a document's tokens, comments included. It refuses one that has too many or
// nests too deep.
func scan(query string, maxTokens int) (tokens int, err error) {
	reader := lexer.New(&ast.Source{Input: query})
	depth, valueDepth, parentheses := 0, 0, 0
	for ; ; tokens++ {
		token, err := reader.ReadToken()
		if err != nil {
			return 0, parseFailed(err)
		}
		if tokens >= maxTokens && token.Kind != lexer.EOF {
			return 0, refusal.New(refusal.DocumentTooLarge, "the document has more than %d tokens", maxTokens).At(&token.Pos)
		}
		switch token.Kind {
		case lexer.EOF:
			return tokens, nil
		case lexer.ParenL:
			depth++
			parentheses++
		case lexer.ParenR:
			depth--
			parentheses--
			valueDepth = 0
		case lexer.BraceL, lexer.BracketL:
			depth++
			if parentheses > 0 {
				valueDepth++
			}
		case lexer.BraceR, lexer.BracketR:
			depth--
			if parentheses > 0 {
				valueDepth--
			}
		}
		if depth > maxNesting {
			return 0, refusal.New(refusal.DocumentTooDeep, "the document's brackets nest deeper than %d", maxNesting).At(&token.Pos)
		}
		if valueDepth > maxValueNesting {
			return 0, refusal.New(refusal.DocumentTooDeep, "a value's lists and objects nest deeper than %d", maxValueNesting).At(&token.Pos)
		}
	}
}

func parseFailed(err error) error {
	var located *gqlerror.Error
	if !errors.As(err, &located) {
		located = gqlerror.Wrap(err)
	}
	return refusal.Of(refusal.ParseFailed, gqlerror.List{refusal.Coded(refusal.ParseFailed, located)})
}

// extent is how large a selection set is with its fragments written out.
type extent struct {
	lists int // how many of the schema's lists about types nest, see typeLists
	depth int // levels of fields, the leaves counted
	size  int // selections, arguments, values and directives; no more than maxSize
}

// typeLists are the lists that lead from one type to others: asked for within one another, a
// few lines write out the schema over and over. maxTypeLists is how many there may be from the
// top down; tools nest none. (graphql-js has such a rule, MaxIntrospectionDepth, and lets two.)
var typeLists = map[string]bool{"fields": true, "inputFields": true, "interfaces": true, "possibleTypes": true}

const maxTypeLists = 1

// maxSize bounds sizes, far above any limit and far below an overflow.
const maxSize = 1 << 40

// measurer computes extents, each fragment's once.
type measurer struct {
	fragments map[string]*ast.FragmentDefinition
	known     map[string]extent   // by fragment; of depth unfinished while it is being measured
	cycle     *ast.FragmentSpread // the first found in a cycle of fragments

	aliases, directives int        // as written, each once
	deepSchema          *ast.Field // the first found with too many typeLists within
}

const unfinished = -1

// measure refuses a document that is too deep or too large once its fragments are written
// out. It comes before validation, and that finds a fragment that doesn't exist. One that
// contains itself, or has another's name, is refused here: it has no size.
func measure(document *ast.QueryDocument, most Limits) error {
	maxTokens, maxDepth := most.Tokens, most.Depth
	if n := len(document.Fragments); n > most.Fragments {
		return refusal.New(refusal.DocumentTooLarge, "the document has %d fragments; at most %d are allowed", n, most.Fragments)
	}
	m := measurer{fragments: map[string]*ast.FragmentDefinition{}, known: map[string]extent{}}
	for _, fragment := range document.Fragments {
		if first := m.fragments[fragment.Name]; first != nil {
			return refusal.New(refusal.ValidationFailed, "there are two fragments %q", refusal.ClipName(fragment.Name)).At(first.Position).At(fragment.Position)
		}
		m.fragments[fragment.Name] = fragment
	}
	for _, fragment := range document.Fragments {
		m.fragment(fragment.Name)
	}
	if m.cycle != nil {
		return refusal.New(refusal.ValidationFailed, "fragment %q contains itself", refusal.ClipName(m.cycle.Name)).At(m.cycle.Position)
	}
	validated := 0
	for _, operation := range document.Operations {
		e := m.set(operation.SelectionSet)
		e.size += m.directivesOf(operation.Directives)
		for _, variable := range operation.VariableDefinitions {
			e.size += 1 + values(variable.DefaultValue) + m.directivesOf(variable.Directives)
		}
		if e.depth > maxDepth {
			return refusal.New(refusal.DocumentTooDeep, "the operation nests fields %d levels deep; at most %d are allowed", e.depth, maxDepth).At(operation.Position)
		}
		if e.size > maxTokens {
			return refusal.New(refusal.DocumentTooLarge, "the operation has %s selections, arguments and values once its fragments are written out; at most %d are allowed", count(e.size), maxTokens).At(operation.Position)
		}
		validated += e.size
	}
	for _, fragment := range document.Fragments {
		validated = min(validated+m.fragment(fragment.Name).size, maxSize)
	}
	switch {
	case m.deepSchema != nil:
		return refusal.New(refusal.DocumentTooDeep, "fields, interfaces and the like don't nest within %s: ask for the types by their names", m.deepSchema.Name).At(m.deepSchema.Position)
	case validated > validatedTimes*maxTokens:
		return refusal.New(refusal.DocumentTooLarge, "the document's operations and fragments have %s selections, arguments and values once fragments are written out; at most %d are allowed", count(validated), validatedTimes*maxTokens)
	case m.aliases > most.Aliases:
		return refusal.New(refusal.DocumentTooLarge, "the document has %d aliases; at most %d are allowed", m.aliases, most.Aliases)
	case m.directives > most.Directives:
		return refusal.New(refusal.DocumentTooLarge, "the document has %d directives; at most %d are allowed", m.directives, most.Directives)
	}
	for _, operation := range document.Operations {
		names := map[string]bool{}
		m.roots(operation.SelectionSet, names, map[string]bool{})
		if len(names) > most.RootFields {
			return refusal.New(refusal.DocumentTooLarge, "the operation asks for %d things at its top; at most %d are allowed", len(names), most.RootFields).At(operation.Position)
		}
	}
	return nil
}

// roots collects the names at the top of a response, each fragment looked at once. A type's
// own name is no work.
func (m *measurer) roots(set ast.SelectionSet, names, visited map[string]bool) {
	for _, selection := range set {
		switch s := selection.(type) {
		case *ast.Field:
			if s.Name != "__typename" {
				names[s.Alias] = true
			}
		case *ast.InlineFragment:
			m.roots(s.SelectionSet, names, visited)
		case *ast.FragmentSpread:
			if fragment := m.fragments[s.Name]; fragment != nil && !visited[s.Name] {
				visited[s.Name] = true
				m.roots(fragment.SelectionSet, names, visited)
			}
		}
	}
}

// directivesOf counts a list of directives, and returns its size.
func (m *measurer) directivesOf(list ast.DirectiveList) int {
	m.directives += len(list)
	return directives(list)
}

func (m *measurer) set(selections ast.SelectionSet) extent {
	var all extent
	for _, selection := range selections {
		var e extent
		switch s := selection.(type) {
		case *ast.Field:
			e = m.set(s.SelectionSet)
			e.depth++
			if typeLists[s.Name] {
				e.lists++
			}
			if e.lists > maxTypeLists && (s.Name == "__schema" || s.Name == "__type") {
				m.deepSchema = s
			}
			e.size += arguments(s.Arguments) + m.directivesOf(s.Directives)
			if s.Alias != s.Name {
				m.aliases++
			}
		case *ast.InlineFragment:
			e = m.set(s.SelectionSet)
			e.size += m.directivesOf(s.Directives)
		case *ast.FragmentSpread:
			e = m.fragment(s.Name)
			if e.depth == unfinished {
				m.cycle = s
			}
			e.size += m.directivesOf(s.Directives)
		}
		all.depth = max(all.depth, e.depth)
		all.lists = max(all.lists, e.lists)
		all.size = min(all.size+e.size+1, maxSize)
	}
	return all
}

func (m *measurer) fragment(name string) extent {
	if e, ok := m.known[name]; ok {
		return e
	}
	fragment := m.fragments[name]
	if fragment == nil {
		return extent{}
	}
	m.known[name] = extent{depth: unfinished}
	e := m.set(fragment.SelectionSet)
	e.size += m.directivesOf(fragment.Directives)
	m.known[name] = e
	return e
}

func directives(list ast.DirectiveList) int {
	size := 0
	for _, directive := range list {
		size += 1 + arguments(directive.Arguments)
	}
	return size
}

func arguments(list ast.ArgumentList) int {
	size := 0
	for _, argument := range list {
		size += 1 + values(argument.Value)
	}
	return size
}

func values(value *ast.Value) int {
	if value == nil {
		return 0
	}
	size := 1
	for _, child := range value.Children {
		size += values(child.Value)
	}
	return size
}

// count is size for a sentence.
func count(size int) string {
	if size >= maxSize {
		return "countless"
	}
	return strconv.Itoa(size)
}
