package mail

// The outbox of development: it stores the last messages in memory instead of sending them. Entry
// point: Outbox, its page.

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"sync"

	"stoa/loopback"
)

// outboxSize is the number of messages stored. One takes some 5 KiB.
const outboxSize = 100

// outboxPolicy lets the page load nothing, run nothing, and be framed by nobody. Inline styles are
// allowed, because mails have them: the frames with the messages inherit this policy.
const outboxPolicy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

//go:embed outbox.html
var outboxSource string

// outbox stores the last messages.
type outbox struct {
	mu       sync.Mutex
	messages []rendered // oldest first
}

func (o *outbox) add(r rendered) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.messages) == outboxSize {
		o.messages = slices.Delete(o.messages, 0, 1)
	}
	o.messages = append(o.messages, r)
}

// newest returns the stored messages, newest first; never nil.
func (o *outbox) newest() []rendered {
	o.mu.Lock()
	defer o.mu.Unlock()
	messages := append([]rendered{}, o.messages...)
	slices.Reverse(messages)
	return messages
}

// Outbox returns the page of stored messages, newest first: as HTML, or as JSON with ?format=json
// or Accept: application/json. It answers requests for a loopback host only, so that no other site
// can read it under a name of its own that leads here. It is for development: a reader of the
// outbox can take over any account.
func (m *Mailer) Outbox() http.Handler {
	page := template.Must(template.New("outbox.html").Parse(outboxSource))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		header.Set("Content-Security-Policy", outboxPolicy)
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("X-Content-Type-Options", "nosniff")
		if !loopback.Is(loopback.HostOf(r.Host)) {
			http.Error(w, "the outbox is shown on this machine only: open it as http://localhost or http://127.0.0.1, with the port", http.StatusForbidden)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			header.Set("Allow", "GET, HEAD")
			http.Error(w, "the outbox is read by GET", http.StatusMethodNotAllowed)
			return
		}
		messages := []rendered{}
		if m.outbox != nil {
			messages = m.outbox.newest()
		}
		header.Set("Vary", "Accept")
		var b bytes.Buffer
		var err error
		if r.URL.Query().Get("format") == "json" || strings.Contains(r.Header.Get("Accept"), "application/json") {
			header.Set("Content-Type", "application/json")
			encoder := json.NewEncoder(&b)
			encoder.SetEscapeHTML(false)
			err = encoder.Encode(messages)
		} else {
			header.Set("Content-Type", "text/html; charset=utf-8")
			err = page.Execute(&b, messages)
		}
		if err != nil {
			m.log.ErrorContext(r.Context(), "outbox", "error", err)
			http.Error(w, "the outbox can't be shown; the log says why", http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(b.Bytes()) // a client that hangs up doesn't want it
	})
}
