package document

// Documents: parsed (documents.parsed), one operation chosen (Document.Operation), validated
// (documents.validate), and cached for the next request with the same text.

import (
	"fmt"
	"sort"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"stoa/gateway/refusal"
	"stoa/lru"
)

// The bounds of the cache of documents. A front end has some hundred; the rest is room for
// people at the playground.
const (
	maxDocuments      = 2000
	maxDocumentsBytes = 64 << 20

	// maxDocumentBytes is the largest size of a cached document: a few of that size
	// would push out all others. Documents within the default of Tokens are smaller.
	maxDocumentBytes = 3 << 20

	// bytesPerToken is the memory of a parsed document for each of its tokens, at most: a field
	// without arguments takes it. Usual documents take a sixth (TestBytesPerToken).
	bytesPerToken = 450
)

// Document is a GraphQL document. Once it is valid it is shared between requests and never
// changed.
type Document struct {
	Text   string
	tokens int
	AST    *ast.QueryDocument
	valid  bool
	Hash   string // HashOf(text), once it is valid

	// introspects says whether any operation asks for the schema.
	introspects bool

	// plans are the costs of its operations.
	plans map[*ast.OperationDefinition]*plan

	// policies say of each query how its response may be cached.
	policies map[*ast.OperationDefinition]Policy

	// required are the variables used at places that don't allow null although their type
	// allows it, as `$n: Int = 5` may at an argument of type Int!.
	required map[string]bool

	// Memory is what the last response to one of its operations took, in bytes: the next one reserves as
	// much.
	Memory atomic.Int64
}

// documents parses and validates. It is safe for concurrent use.
type documents struct {
	schema        *ast.Schema
	weights       *costWeights
	limits        Limits
	introspection bool
	rules         []validator.Rule
	types, names  map[string]bool // of the schema: those of types, and all others

	mu    sync.Mutex
	cache *lru.Cache[string, *Document] // valid documents, by text
}

func newDocuments(weights *costWeights, limits Limits, introspection bool) *documents {
	d := &documents{
		schema:        weights.schema,
		weights:       weights,
		limits:        limits,
		introspection: introspection,
		rules:         rulesOf(introspection),
	}
	d.types, d.names = namesOf(weights.schema)
	d.cache = lru.New(maxDocuments, maxDocumentsBytes, func(_ string, doc *Document) int { return sizeOf(doc) })
	return d
}

// cached returns the valid document with this text if it is cached, else nil.
func (d *documents) cached(text string) *Document {
	d.mu.Lock()
	defer d.mu.Unlock()
	doc, _ := d.cache.Get(text)
	return doc
}

// parsed returns the document with this text. It isn't validated yet unless it says so.
func (d *documents) parsed(text string) (*Document, error) {
	if doc := d.cached(text); doc != nil {
		return doc, nil
	}
	if len(text) > d.limits.Bytes {
		return nil, refusal.New(refusal.DocumentTooLarge, "the document has %d bytes; at most %d are allowed: send long texts in variables", len(text), d.limits.Bytes)
	}
	tokens, err := scan(text, d.limits.Tokens)
	if err != nil {
		return nil, err
	}
	parsed, err := parser.ParseQuery(&ast.Source{Input: text})
	if err != nil {
		return nil, parseFailed(err)
	}
	if err := measure(parsed, d.limits); err != nil {
		return nil, err
	}
	return &Document{Text: text, tokens: tokens, AST: parsed}, nil
}

// validate makes doc valid and caches it, or returns its errors.
func (d *documents) validate(doc *Document) error {
	if doc.valid {
		return nil
	}
	if errs := d.check(doc); len(errs) > 0 {
		return refusal.Of(refusal.ValidationFailed, d.redact(errs, doc.Text))
	}
	if err := checkOverlaps(doc.AST, d.schema, comparedTimes*d.limits.Tokens); err != nil {
		return d.redactError(err, doc.Text)
	}
	if doc.introspects && !d.introspection {
		return refusal.New(refusal.IntrospectionDisabled, "the schema isn't given out here: __schema and __type can't be asked for")
	}
	doc.plans = make(map[*ast.OperationDefinition]*plan, len(doc.AST.Operations))
	doc.policies = make(map[*ast.OperationDefinition]Policy, len(doc.AST.Operations))
	for _, operation := range doc.AST.Operations {
		doc.plans[operation] = compile(d.weights, operation)
		doc.policies[operation] = policyOf(d.schema, operation)
	}
	doc.valid, doc.Hash = true, HashOf(doc.Text)
	d.keep(doc)
	return nil
}

func (d *documents) keep(doc *Document) {
	if sizeOf(doc) > maxDocumentBytes {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.cache.Contains(doc.Text) {
		d.cache.Add(doc.Text, doc)
	}
}

// sizeOf is about how much memory doc takes, in bytes.
func sizeOf(doc *Document) int { return len(doc.Text) + doc.tokens*bytesPerToken }

// rulesOf returns the specification's rules, except for merging fields: checkOverlaps checks
// these in bounded time. Without suggestions no error proposes another name.
func rulesOf(suggestions bool) []validator.Rule {
	set := rules.NewDefaultRules()
	set.RemoveRule(rules.OverlappingFieldsCanBeMergedRule.Name)
	if !suggestions {
		for with, without := range map[string]validator.Rule{
			rules.FieldsOnCorrectTypeRule.Name: rules.FieldsOnCorrectTypeRuleWithoutSuggestions,
			rules.KnownArgumentNamesRule.Name:  rules.KnownArgumentNamesRuleWithoutSuggestions,
			rules.KnownTypeNamesRule.Name:      rules.KnownTypeNamesRuleWithoutSuggestions,
			rules.ScalarLeafsRule.Name:         rules.ScalarLeafsRuleWithoutSuggestions,
			rules.ValuesOfCorrectTypeRule.Name: rules.ValuesOfCorrectTypeRuleWithoutSuggestions,
		} {
			set.ReplaceRule(with, without.RuleFunc)
		}
	}
	var list []validator.Rule
	for name, rule := range set.GetInner() {
		list = append(list, validator.Rule{Name: name, RuleFunc: rule})
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list
}

// enoughErrors ends a validation that has found as much as is told.
type enoughErrors struct{}

// maxTold is how long the texts of a validation's errors may be in all before it ends, in
// bytes. Rules quote whole values before anybody can cut them.
const maxTold = 1 << 20

// check walks doc with all rules and returns their errors, at most maxErrors of them and one
// that says that there may be more. On the way it notes facts about doc, and removes @defer:
// the specification allows a server to ignore it.
func (d *documents) check(doc *Document) (errs gqlerror.List) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case enoughErrors{}:
			errs = append(errs, refusal.Truncated())
		default:
			panic(p)
		}
	}()
	var events validator.Events
	told := 0
	for _, rule := range d.rules {
		rule.RuleFunc(&events, func(options ...validator.ErrorOption) {
			err := &gqlerror.Error{Rule: rule.Name}
			for _, option := range options {
				option(err)
			}
			told += len(err.Message)
			errs = append(errs, refusal.Coded(refusal.ValidationFailed, err))
			if len(errs) >= refusal.MaxErrors || told > maxTold {
				panic(enoughErrors{})
			}
		})
	}
	doc.required = map[string]bool{}
	events.OnField(func(_ *validator.Walker, field *ast.Field) {
		if field.Name == "__schema" || field.Name == "__type" {
			doc.introspects = true
		}
	})
	events.OnValue(func(_ *validator.Walker, value *ast.Value) {
		if value.Kind == ast.Variable && value.ExpectedType != nil && value.ExpectedType.NonNull {
			doc.required[value.Raw] = true
		}
	})
	events.OnInlineFragment(func(_ *validator.Walker, fragment *ast.InlineFragment) {
		fragment.Directives = withoutDefer(fragment.Directives)
	})
	events.OnFragmentSpread(func(_ *validator.Walker, spread *ast.FragmentSpread) {
		spread.Directives = withoutDefer(spread.Directives)
	})
	validator.Walk(d.schema, doc.AST, &events)
	return errs
}

func withoutDefer(list ast.DirectiveList) ast.DirectiveList {
	if list.ForName("defer") == nil {
		return list
	}
	var rest ast.DirectiveList
	for _, directive := range list {
		if directive.Name != "defer" {
			rest = append(rest, directive)
		}
	}
	return rest
}

// Operation returns the operation to run: the one with this name, or the only one.
func (doc *Document) Operation(name string) (*ast.OperationDefinition, error) {
	all := doc.AST.Operations
	switch {
	case len(all) == 0:
		return nil, refusal.New(refusal.OperationNotFound, "the document has no operation: it needs a query such as { __typename }")
	case name == "" && len(all) > 1:
		return nil, refusal.New(refusal.OperationNotFound, "operationName is missing: the document has %s", operationNames(all))
	}
	if operation := all.ForName(name); operation != nil {
		return operation, nil
	}
	return nil, refusal.New(refusal.OperationNotFound, "there is no operation %q: the document has %s", refusal.ClipName(name), operationNames(all))
}

// operationNames lists operations for a sentence, the first ten of them.
func operationNames(all ast.OperationList) string {
	var names []string
	for _, operation := range all[:min(len(all), 10)] {
		if operation.Name == "" {
			names = append(names, "one without a name")
		} else {
			names = append(names, refusal.ClipName(operation.Name))
		}
	}
	if rest := len(all) - len(names); rest > 0 {
		names = append(names, fmt.Sprintf("%d more", rest))
	}
	return strings.Join(names, ", ")
}

// Policy returns how the response to one of doc's operations may be cached.
func (doc *Document) Policy(operation *ast.OperationDefinition) Policy {
	return doc.policies[operation]
}
