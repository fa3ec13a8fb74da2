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
)

const (
	// maxPersistedText is the size above which an automatic persisted query isn't kept, in
	// bytes: a client has to send its text each time. Those of front ends have some hundred
	// bytes to some thousand.
	maxPersistedText = 64 << 10

	// maxPersistedBytes is how much memory they may take, as sizeOf reckons, and so about a
	// thousand of them.
	maxPersistedBytes = 32 << 20

	// hashPrefix marks a documentId that is the SHA-256 of its text (GraphQL over HTTP,
	// appendix "Persisted Documents").
	hashPrefix = "sha256:"
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

// isHash says whether id is of the form of hashOf's.
func isHash(id string) bool {
	if len(id) != 2*sha256.Size {
		return false
	}
	for _, c := range []byte(id) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// ready returns the valid document that e asks for, by its id or by its text, where it is in
// memory; nil where find has to be asked. It neither hashes nor parses nor waits, and refuses
// what find would refuse of a document that it returns. The document's hash is the same
// however it was asked for.
func (p *persisted) ready(e *envelope) (*document, error) {
	if e.query == "" {
		if doc := p.trusted[e.id]; doc != nil {
			return doc, nil
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		doc, _ := p.kept.Get(e.id)
		return doc, nil
	}
	doc := p.texts[e.query]
	if doc == nil && !p.only {
		doc = p.documents.known(e.query)
	}
	if doc != nil && e.id != "" && e.id != doc.hash && p.trusted[e.id] != doc {
		return nil, otherHash(e.id)
	}
	return doc, nil
}

// find returns the document that e asks for. It isn't validated yet unless it says so. Redis
// is asked where nothing else knows the id.
func (p *persisted) find(ctx context.Context, e *envelope) (*document, error) {
	if doc, err := p.ready(e); doc != nil || err != nil {
		return doc, err
	}
	switch {
	case p.only && e.query == "":
		return nil, refusef(codeNotTrusted, "there is no trusted document with the id %q: only the documents of known front ends are answered here", clipName(e.id))
	case p.only:
		return nil, refusef(codeNotTrusted, "the document isn't one of the trusted: only those of known front ends are answered here")
	case e.query != "" && e.id != "" && e.id != hashOf(e.query):
		return nil, otherHash(e.id)
	case e.query != "":
		return p.documents.parsed(e.query)
	}
	if isHash(e.id) {
		if text, ok := p.shared.get(ctx, e.id); ok && hashOf(text) == e.id {
			return p.documents.parsed(text)
		}
	}
	// Clients of the protocol look for this text, others for the code.
	return nil, refusef(codePersistedNotFound, "PersistedQueryNotFound")
}

func otherHash(id string) error {
	return refusef(codeBadRequest, "the document isn't the one with the id %q: an id that comes with a text is the text's SHA-256, as 64 hexadecimal digits in lower case", clipName(id))
}

// keep remembers the document that e was answered with under the hash that e brought. It is
// called when nothing is left to be refused, so that only what may run takes room.
func (p *persisted) keep(ctx context.Context, e *envelope, doc *document) {
	if e.id == "" || p.trusted[e.id] != nil || len(doc.text) > maxPersistedText {
		return
	}
	if p.remember(doc) && e.query != "" {
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
