package subscription

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"stoa/id"
	"stoa/store"
	"stoa/tests/stoatest"
)

// Memory of idle connections with a subscription each: the real server, in this process, and
// bare ends of connections, with next to no memory of their own. STOA_CONNECTIONS is their
// number; 10,000 take 20,000 file descriptors.
func TestMemoryOfSubscriptions(t *testing.T) {
	connections, err := strconv.Atoi(os.Getenv("STOA_CONNECTIONS"))
	if err != nil {
		connections = 1000
	}
	if testing.Short() {
		t.Skip("opens a thousand connections")
	}
	s := stoatest.Start(t, nil)
	address := strings.TrimPrefix(s.URL, "http://")
	frame := func(text string) []byte {
		b := []byte{0x81, 0x80 | 126, byte(len(text) >> 8), byte(len(text)), 0, 0, 0, 0}
		if len(text) < 126 {
			b = []byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}
		}
		return append(b, text...)
	}
	// Each connection is from another address, forwarded by a trusted proxy.
	from := func(i int) string { return fmt.Sprintf("X-Forwarded-For: 10.%d.%d.%d\r\n", i>>16, i>>8&255, i&255) }
	const asked = `subscription { articlePublished { id article { title author { name } } } }`
	kinds := map[string]func(t *testing.T, i int, c net.Conn){
		"WebSocket": func(t *testing.T, i int, c net.Conn) {
			fmt.Fprintf(c, "GET /graphql HTTP/1.1\r\nHost: localhost\r\n%sConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n", from(i))
			_, err := c.Write(frame(`{"type":"connection_init"}`))
			stoatest.Check(t, err)
			_, err = c.Write(frame(`{"id":"1","type":"subscribe","payload":{"query":"` + asked + `"}}`))
			stoatest.Check(t, err)
			awaitText(t, c, "connection_ack")
		},
		"EventStream": func(t *testing.T, i int, c net.Conn) {
			fmt.Fprintf(c, "GET /graphql?query=%s HTTP/1.1\r\nHost: localhost\r\n%sAccept: text/event-stream\r\n\r\n", strings.ReplaceAll(asked, " ", "%20"), from(i))
			awaitText(t, c, "text/event-stream")
		},
	}
	for kind, open := range kinds {
		t.Run(kind, func(t *testing.T) {
			before := measured()
			var ends []net.Conn
			for i := range connections {
				c, err := net.Dial("tcp", address)
				if err != nil {
					t.Skipf("no more connections than %d: %v", i, err)
				}
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(time.Minute))
				open(t, i, c)
				ends = append(ends, c)
			}
			stoatest.AwaitFollowers(t, s, connections)
			after := measured()
			per := func(a, b uint64) int { return (int(b) - int(a)) / connections }
			total := per(before.HeapInuse+before.StackInuse, after.HeapInuse+after.StackInuse)
			t.Logf("an idle %s with a subscription takes %d bytes of heap, %d of stack: %d in all; %d connections",
				kind, per(before.HeapInuse, after.HeapInuse), per(before.StackInuse, after.StackInuse), total, connections)
			if most := map[string]int{"WebSocket": 30 << 10, "EventStream": 30 << 10}[kind]; total > most {
				t.Errorf("that is more than %d", most)
			}
			// Every connection receives an event.
			began := time.Now()
			at := store.Now()
			stoatest.Check(t, s.Store.AddArticle(t.Context(), &store.Article{
				ID: id.New(id.Article), Slug: strings.ToLower(kind), Title: "News by " + kind, Status: store.Published, PublishedAt: at, UpdatedAt: at,
				OldSlugs: []string{}, AuthorIDs: []id.ID{}, TagIDs: []id.ID{}, RelatedIDs: []id.ID{}, Version: 1,
			}))
			for _, c := range ends {
				awaitText(t, c, "News by "+kind)
			}
			t.Logf("all were told within %s", time.Since(began))
			for _, c := range ends {
				c.Close()
			}
			stoatest.AwaitFollowers(t, s, 0)
		})
	}
}

func measured() (m runtime.MemStats) {
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m
}

// awaitText reads until text has come.
func awaitText(t *testing.T, c io.Reader, text string) {
	t.Helper()
	var got bytes.Buffer
	for part := make([]byte, 512); !strings.Contains(got.String(), text); {
		n, err := c.Read(part)
		if err != nil {
			t.Fatalf("got %s, %v", got.String(), err)
		}
		got.Write(part[:n])
	}
}
