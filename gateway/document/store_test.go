package document

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"stoa/gateway/envelope"
	"stoa/tests/redistest"
	"stoa/tests/requests"
)

func TestPersistedQueriesAreBoundedInBytes(t *testing.T) {
	d := testDocuments(0, 0)
	p, err := newStoreOf(d, newSharedTexts(nil, "", slog.Default()), nil, false)
	if err != nil {
		t.Fatal(err)
	}
	last := ""
	for i := range 50 {
		last = "{" + strings.Repeat("__typename ", 4000) + strings.Repeat(" ", i) + "}"
		p.Remember(t.Context(), &envelope.Envelope{Query: last, ID: HashOf(last)}, take(t, d, last))
	}
	if p.automatic.Bytes() > maxPersistedBytes || p.automatic.Len() < 10 || p.automatic.Len() > 40 {
		t.Errorf("%d of 50 documents are kept, in %d bytes", p.automatic.Len(), p.automatic.Bytes())
	}
	if doc, err := p.Ready(&envelope.Envelope{ID: HashOf(last)}); doc == nil || err != nil {
		t.Error("the last one isn't among them")
	}
}

func TestCachedDocumentsAreNeitherHashedNorParsed(t *testing.T) {
	d := testDocuments(0, 0)
	p, err := newStoreOf(d, newSharedTexts(nil, "", slog.Default()), []Trusted{{ID: "trusted", Text: twice}}, false)
	if err != nil {
		t.Fatal(err)
	}
	doc := take(t, d, slugs)
	p.Remember(t.Context(), &envelope.Envelope{Query: slugs, ID: doc.Hash}, doc)
	for name, e := range map[string]*envelope.Envelope{
		"Hash": {ID: doc.Hash}, "Text": {Query: slugs}, "Both": {Query: slugs, ID: doc.Hash}, "Trusted": {ID: "trusted"}, "TrustedHash": {ID: HashOf(twice)},
	} {
		if allocated := testing.AllocsPerRun(100, func() {
			if found, err := p.Ready(e); err != nil || found == nil || found.Hash == "" || !found.valid {
				t.Fatalf("%s: %+v %+v", name, found, err)
			}
		}); allocated != 0 {
			t.Errorf("%s: %v allocations", name, allocated)
		}
	}
}

func TestWritesOfOneReplicaAreBounded(t *testing.T) {
	server := redistest.Start(t)
	shared := newSharedTexts(connect(t, server.URL()), "s", slog.Default())
	for i := range 300 {
		text := fmt.Sprintf("{__typename} #%d%s", i, strings.Repeat(" ", maxPersistedText-100))
		shared.put(t.Context(), HashOf(text), text)
	}
	// 300 of 64 KiB are 19 MiB; of the budget something has come back in the meantime.
	if n := server.Client(t).DBSize(t.Context()).Val(); n < 120 || n > 160 {
		t.Errorf("%d texts are in Redis, which has room for 128", n)
	}
}

// The time to find a document: by its hash and by its text in memory, and by parsing and
// validating it.
func BenchmarkFind(b *testing.B) {
	d := testDocuments(0, 0)
	p, err := newStoreOf(d, newSharedTexts(nil, "", slog.Default()), nil, false)
	if err != nil {
		b.Fatal(err)
	}
	doc := take(b, d, requests.Introspection)
	p.Remember(b.Context(), &envelope.Envelope{Query: doc.Text, ID: doc.Hash}, doc)
	for name, e := range map[string]*envelope.Envelope{"Hash": {ID: doc.Hash}, "Text": {Query: doc.Text}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if found, err := p.Ready(e); found != doc || err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("Unknown", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			d.cache.Clear()
			take(b, d, requests.Introspection)
		}
	})
}

// Trusted documents are there anyway, so nothing is remembered of them, nor is another document
// found that was parsed.
func TestTrustedDocumentsTakeNoRoom(t *testing.T) {
	d := testDocuments(0, 0)
	p, err := newStoreOf(d, newSharedTexts(nil, "", slog.Default()), []Trusted{{ID: "0a1b", Text: slugs}}, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []*envelope.Envelope{{ID: "0a1b"}, {ID: HashOf(slugs)}, {ID: HashOf(slugs), Query: slugs}, {Query: slugs}} {
		doc, err := p.Find(t.Context(), e)
		if err != nil {
			t.Fatalf("%+v: %v", e, err)
		}
		p.Remember(t.Context(), e, doc)
	}
	if kept := p.automatic.Len(); kept != 0 {
		t.Errorf("%d documents are kept that are there anyway", kept)
	}
	take(t, d, "{__typename}") // in neither way: it isn't found by its text
	if doc, err := p.Ready(&envelope.Envelope{Query: "{__typename}"}); doc != nil || err != nil {
		t.Errorf("a document that was parsed is ready: %+v %+v", doc, err)
	}
}
