// Package document is the step of a request that finds, parses and checks its document, within
// limits, and knows what an operation costs and how its response may be cached. It sees neither
// the HTTP request nor the viewer.
//
// newStore makes a Store; Store.Find, Document.Operation, Store.Validate, Store.Variables and Store.Cost
// are called in this order. It may import envelope and refusal, and, for persisted queries in
// Redis, rate and store/bus.
package document

// Persisted operations: documents requested by an id instead of their text. Trusted ones are
// known from the start (trusted.go). The others come from clients, once, with their hash, by
// Apollo's protocol of automatic persisted queries, and are kept here and in Redis
// (shared.go). A request gets its document from persisted.find, or from persisted.ready if it
// is in memory.

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"sync"

	"github.com/vektah/gqlparser/v2/ast"

	"stoa/gateway/envelope"
	"stoa/gateway/refusal"
	"stoa/lru"
	"stoa/store/bus"
)

const (
	// maxPersistedText bounds the stored text of an automatic persisted query, in bytes: a
	// client must send a larger one each time. Texts of front ends have a few hundred to a few
	// thousand bytes.
	maxPersistedText = 64 << 10

	// maxPersistedBytes bounds the memory of all stored documents, as estimated by sizeOf: there is
	// room for about a thousand.
	maxPersistedBytes = 32 << 20
)

// store finds documents by text or id, and checks them. It is safe for concurrent use.
type Store struct {
	documents *documents
	shared    *sharedTexts
	only      bool // whether no other than trusted ones are answered

	trusted map[string]*Document // by each of their ids
	texts   map[string]*Document // the same by text

	mu        sync.Mutex
	automatic *lru.Cache[string, *Document] // by hash
}

// Options tell a Store its schema, limits and trusted documents.
type Options struct {
	Schema        *ast.Schema
	Limits        Limits
	Introspection bool      // clients may ask for the schema, and errors may suggest names of it
	Trusted       []Trusted // can be asked for by an id from the start
	TrustedOnly   bool      // every other document is refused

	// Redis holds the texts of automatic persisted queries that replicas share, in
	// Namespace. Without it each replica has its own.
	Redis     *bus.Connection
	Namespace string

	Log *slog.Logger
}

// NewStore returns the documents of a schema, or an error about its directives or a
// trusted document.
func NewStore(o Options) (*Store, error) {
	weights, err := newCostWeights(o.Schema)
	if err != nil {
		return nil, err
	}
	s, err := newStoreOf(newDocuments(weights, o.Limits.WithDefaults(), o.Introspection), newSharedTexts(o.Redis, o.Namespace, o.Log), o.Trusted, o.TrustedOnly)
	if err != nil {
		return nil, fmt.Errorf("gateway: Trusted: %w", err)
	}
	return s, nil
}

func newStoreOf(d *documents, shared *sharedTexts, trusted []Trusted, only bool) (*Store, error) {
	s := &Store{documents: d, shared: shared, only: only, trusted: map[string]*Document{}, texts: map[string]*Document{}}
	s.automatic = lru.New(maxDocuments, maxPersistedBytes, func(_ string, doc *Document) int { return sizeOf(doc) })
	for _, t := range trusted {
		if err := s.trust(t); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// HashOf is the id of a text in automatic persisted queries: its SHA-256 in lower-case
// hexadecimal.
func HashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// Ready returns the valid document that e names, by its id or by its text, if it is in memory;
// nil if Find must be called. It neither hashes nor parses nor waits, and refuses the same
// requests as Find for a document that it returns. The document's hash is the same for both
// ways of naming it.
func (s *Store) Ready(e *envelope.Envelope) (*Document, error) {
	if e.Query == "" {
		if doc := s.trusted[e.ID]; doc != nil {
			return doc, nil
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		doc, _ := s.automatic.Get(e.ID)
		return doc, nil
	}
	doc := s.texts[e.Query]
	if doc == nil && !s.only {
		doc = s.documents.cached(e.Query)
	}
	if doc != nil && e.ID != "" && e.ID != doc.Hash && s.trusted[e.ID] != doc {
		return nil, otherHash(e.ID)
	}
	return doc, nil
}

// Find returns the document that e names. It isn't validated yet unless it says so. Redis is
// asked only for an id that is unknown here.
func (s *Store) Find(ctx context.Context, e *envelope.Envelope) (*Document, error) {
	if doc, err := s.Ready(e); doc != nil || err != nil {
		return doc, err
	}
	switch {
	case s.only && e.Query == "":
		return nil, refusal.New(refusal.NotTrusted, "there is no trusted document with the id %q: only the documents of known front ends are answered here", refusal.ClipName(e.ID))
	case s.only:
		return nil, refusal.New(refusal.NotTrusted, "the document isn't one of the trusted: only those of known front ends are answered here")
	case e.Query != "" && e.ID != "" && e.ID != HashOf(e.Query):
		return nil, otherHash(e.ID)
	case e.Query != "":
		return s.documents.parsed(e.Query)
	}
	if envelope.IsHash(e.ID) {
		if text, ok := s.shared.get(ctx, e.ID); ok && HashOf(text) == e.ID {
			return s.documents.parsed(text)
		}
	}
	// Clients of the protocol look for this text, others for the code.
	return nil, refusal.New(refusal.PersistedNotFound, "PersistedQueryNotFound")
}

func otherHash(id string) error {
	return refusal.New(refusal.BadRequest, "the document isn't the one with the id %q: an id that comes with a text is the text's SHA-256, as 64 hexadecimal digits in lower case", refusal.ClipName(id))
}

// Remember stores the document executed for e under the hash in e. It is called after the last
// check, so that only executable documents take room.
func (s *Store) Remember(ctx context.Context, e *envelope.Envelope, doc *Document) {
	if e.ID == "" || s.trusted[e.ID] != nil || len(doc.Text) > maxPersistedText {
		return
	}
	if s.add(doc) && e.Query != "" {
		s.shared.put(ctx, doc.Hash, doc.Text)
	}
}

// add says whether doc is new here.
func (s *Store) add(doc *Document) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.automatic.Contains(doc.Hash) {
		return false
	}
	s.automatic.Add(doc.Hash, doc)
	return true
}

// Validate holds doc against the schema and the limits. It makes doc valid, once.
func (s *Store) Validate(doc *Document) error { return s.documents.validate(doc) }

// Variables returns the values of operation's variables as their types have them.
func (s *Store) Variables(doc *Document, operation *ast.OperationDefinition, sent map[string]any) (map[string]any, error) {
	values, err := coerceVariables(s.documents.schema, operation, doc.required, sent)
	if err != nil {
		return nil, s.documents.redactVariables(err, doc.Text, sent)
	}
	return values, nil
}

// Cost returns the cost of operation with these variables, or refuses it as too high.
func (s *Store) Cost(doc *Document, operation *ast.OperationDefinition, variables map[string]any) (int64, error) {
	cost, most := doc.plans[operation].cost(variables), int64(s.documents.limits.Cost)
	if cost > most {
		return 0, refusal.New(refusal.CostTooHigh, "this costs %s; an operation may cost at most %d: ask for smaller pages, or for fewer lists within lists", countless(cost), most).
			At(operation.Position).Extend("cost", map[string]any{"requested": cost, "maximum": most})
	}
	return cost, nil
}
