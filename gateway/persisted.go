package gateway

// Persisted operations: documents that are asked for by an id instead of their text. Trusted
// ones are known from the start (trusted.go); others a client has sent once with their hash,
// which is Apollo's protocol of automatic persisted queries, and are kept here and in Redis
// (shared.go). A request gets its document from persisted.find, and from persisted.ready
// where it is in memory.

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"stoa/gateway/envelope"
	"stoa/gateway/refusal"
)

const (
	// maxPersistedText is the size above which an automatic persisted query isn't kept, in
	// bytes: a client has to send its text each time. Those of front ends have some hundred
	// bytes to some thousand.
	maxPersistedText = 64 << 10

	// maxPersistedBytes is how much memory they may take, as sizeOf reckons, and so about a
	// thousand of them.
	maxPersistedBytes = 32 << 20
)

// persisted are the documents that have ids. It is safe for concurrent use.
type persisted struct {
	documents *documents
	shared    *sharedTexts
	only      bool // whether no other than trusted ones are answered

	trusted map[string]*document // by each of their ids
	texts   map[string]*document // the same by text

	mu    sync.Mutex
	kept  *simplelru.LRU[string, *document] // automatic ones, by hash
	bytes int
}

func newPersisted(d *documents, shared *sharedTexts, trusted []Trusted, only bool) (*persisted, error) {
	p := &persisted{documents: d, shared: shared, only: only, trusted: map[string]*document{}, texts: map[string]*document{}}
	// The only error there is says that the size isn't positive; bytes bound it, too.
	p.kept, _ = simplelru.NewLRU(maxDocuments, func(_ string, evicted *document) { p.bytes -= sizeOf(evicted) })
	for _, t := range trusted {
		if err := p.trust(t); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// hashOf is what automatic persisted queries know a text by: its SHA-256 in lower-case
// hexadecimal.
func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// ready returns the valid document that e asks for, by its id or by its text, where it is in
// memory; nil where find has to be asked. It neither hashes nor parses nor waits, and refuses
// what find would refuse of a document that it returns. The document's hash is the same
// however it was asked for.
func (p *persisted) ready(e *envelope.Envelope) (*document, error) {
	if e.Query == "" {
		if doc := p.trusted[e.ID]; doc != nil {
			return doc, nil
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		doc, _ := p.kept.Get(e.ID)
		return doc, nil
	}
	doc := p.texts[e.Query]
	if doc == nil && !p.only {
		doc = p.documents.known(e.Query)
	}
	if doc != nil && e.ID != "" && e.ID != doc.hash && p.trusted[e.ID] != doc {
		return nil, otherHash(e.ID)
	}
	return doc, nil
}

// find returns the document that e asks for. It isn't validated yet unless it says so. Redis
// is asked where nothing else knows the id.
func (p *persisted) find(ctx context.Context, e *envelope.Envelope) (*document, error) {
	if doc, err := p.ready(e); doc != nil || err != nil {
		return doc, err
	}
	switch {
	case p.only && e.Query == "":
		return nil, refusal.New(refusal.NotTrusted, "there is no trusted document with the id %q: only the documents of known front ends are answered here", refusal.ClipName(e.ID))
	case p.only:
		return nil, refusal.New(refusal.NotTrusted, "the document isn't one of the trusted: only those of known front ends are answered here")
	case e.Query != "" && e.ID != "" && e.ID != hashOf(e.Query):
		return nil, otherHash(e.ID)
	case e.Query != "":
		return p.documents.parsed(e.Query)
	}
	if envelope.IsHash(e.ID) {
		if text, ok := p.shared.get(ctx, e.ID); ok && hashOf(text) == e.ID {
			return p.documents.parsed(text)
		}
	}
	// Clients of the protocol look for this text, others for the code.
	return nil, refusal.New(refusal.PersistedNotFound, "PersistedQueryNotFound")
}

func otherHash(id string) error {
	return refusal.New(refusal.BadRequest, "the document isn't the one with the id %q: an id that comes with a text is the text's SHA-256, as 64 hexadecimal digits in lower case", refusal.ClipName(id))
}

// keep remembers the document that e was answered with under the hash that e brought. It is
// called when nothing is left to be refused, so that only what may run takes room.
func (p *persisted) keep(ctx context.Context, e *envelope.Envelope, doc *document) {
	if e.ID == "" || p.trusted[e.ID] != nil || len(doc.text) > maxPersistedText {
		return
	}
	if p.remember(doc) && e.Query != "" {
		p.shared.put(ctx, doc.hash, doc.text)
	}
}

// remember says whether doc is new here.
func (p *persisted) remember(doc *document) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.kept.Contains(doc.hash) {
		return false
	}
	p.kept.Add(doc.hash, doc)
	p.bytes += sizeOf(doc)
	for p.bytes > maxPersistedBytes {
		p.kept.RemoveOldest()
	}
	return true
}
