package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"stoa/tests/stoatest"
)

// answerPages are the pages with cached responses.
func answerPages(t testing.TB, s *stoatest.Stoa) map[string][]byte {
	bodies := map[string][]byte{}
	for _, p := range sitePages[:3] {
		body, err := json.Marshal(map[string]any{"query": p.query})
		if err != nil {
			t.Fatal(err)
		}
		bodies[p.name] = body
	}
	list, err := json.Marshal(map[string]any{"query": `{ authors(first: 24) { nodes { name slug articleCount articles(first: 3) { nodes { slug title summary publishedAt } } } } }`})
	if err != nil {
		t.Fatal(err)
	}
	bodies["list"] = list
	return bodies
}

// BenchmarkKeptAnswers compares a cached response with a plain handler that reads the request
// and writes the same bytes, head and body, over loopback. The same clients ask both in turn,
// a fifth of a second at a time. It reports the median of the ratios of their requests per
// second, and the CPU time of a request, client and server together. A 304 is compared with
// the full response.
//
//	go test -run '^$' -bench KeptAnswers -benchtime 1x ./tests/bench
func BenchmarkKeptAnswers(b *testing.B) {
	s := stoatest.Start(b, nil)
	importArticles(b, s, 300)
	for name, body := range answerPages(b, s) {
		for _, form := range []string{"POST", "POST/gzip", "GET", "GET/304"} {
			b.Run(name+"/"+form, func(b *testing.B) {
				compareKept(b, s, body, form)
			})
		}
	}
}

func compareKept(b *testing.B, s *stoatest.Stoa, body []byte, form string) {
	request := requestText(b, body, form, "")
	first := ask1(b, s.URL, request)
	if form == "GET/304" {
		request = requestText(b, body, form, first.header.Get("Etag"))
	}
	answer := ask1(b, s.URL, requestText(b, body, form[:min(len(form), 3)], ""))
	if form == "POST/gzip" {
		answer = ask1(b, s.URL, request)
	}
	answer.header.Del("Date") // net/http writes it
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		h := w.Header()
		for name, values := range answer.header {
			h[name] = values
		}
		_, _ = w.Write(answer.body)
	}))
	defer plain.Close()
	const rounds, span, clients = 15, 200 * time.Millisecond, 4
	ours, theirs := dial(b, s.URL, clients), dial(b, plain.URL, clients)
	before := s.ResponseCounts()
	var ratios, rates, costs, plainCosts []float64
	for b.Loop() {
		for range rounds {
			x, cost := ours.load(request, span)
			y, plainCost := theirs.load(request, span)
			ratios, rates = append(ratios, x/y), append(rates, x)
			costs, plainCosts = append(costs, cost), append(plainCosts, plainCost)
		}
	}
	// A stale response is made again, once in ten seconds at most.
	if after := s.ResponseCounts(); after.Hits == before.Hits || after.Made > before.Made+3 {
		b.Errorf("answers weren't kept: %+v after %+v", after, before)
	}
	median := func(list []float64) float64 {
		slices.Sort(list)
		return list[len(list)/2]
	}
	b.ReportMetric(median(ratios), "of-plain")
	b.ReportMetric(median(rates), "requests/s")
	b.ReportMetric(median(costs), "us-CPU/request")
	b.ReportMetric(median(plainCosts), "us-CPU/plain")
	b.ReportMetric(float64(len(answer.body)), "bytes")
	b.ReportMetric(0, "ns/op")
}

// requestText is the text of an HTTP request.
func requestText(b *testing.B, body []byte, form, etag string) []byte {
	b.Helper()
	var text bytes.Buffer
	if form[0] == 'P' {
		fmt.Fprintf(&text, "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: application/json\r\nContent-Length: %d\r\n", len(body))
	} else {
		var envelope struct{ Query string }
		if err := json.Unmarshal(body, &envelope); err != nil {
			b.Fatal(err)
		}
		fmt.Fprintf(&text, "GET /graphql?query=%s HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n", url.QueryEscape(envelope.Query))
		body = nil
	}
	if form == "POST/gzip" {
		text.WriteString("Accept-Encoding: gzip\r\n")
	}
	if etag != "" {
		fmt.Fprintf(&text, "If-None-Match: %s\r\n", etag)
	}
	text.WriteString("\r\n")
	text.Write(body)
	return text.Bytes()
}

// rawAnswer is an answer as it came.
type rawAnswer struct {
	status string
	header http.Header
	body   []byte
}

func ask1(b *testing.B, address string, request []byte) rawAnswer {
	b.Helper()
	l := dial(b, address, 1)
	if _, err := l.connections[0].Write(request); err != nil {
		b.Fatal(err)
	}
	a, err := readRaw(l.readers[0])
	if err != nil {
		b.Fatal(err)
	}
	return a
}

func readRaw(r *bufio.Reader) (a rawAnswer, err error) {
	reader := textproto.NewReader(r)
	if a.status, err = reader.ReadLine(); err != nil {
		return a, err
	}
	header, err := reader.ReadMIMEHeader()
	if err != nil {
		return a, err
	}
	a.header = http.Header(header)
	n, _ := strconv.Atoi(a.header.Get("Content-Length"))
	a.body = make([]byte, n)
	_, err = io.ReadFull(r, a.body)
	return a, err
}

// sender is a set of connections that send the same request all the time.
type sender struct {
	connections []net.Conn
	readers     []*bufio.Reader
}

func dial(b *testing.B, address string, n int) *sender {
	b.Helper()
	u, err := url.Parse(address)
	if err != nil {
		b.Fatal(err)
	}
	l := &sender{}
	for range n {
		c, err := net.Dial("tcp", u.Host)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { c.Close() })
		l.connections, l.readers = append(l.connections, c), append(l.readers, bufio.NewReaderSize(c, 64<<10))
	}
	return l
}

// load sends request over all connections for span, and returns the requests per second and
// the CPU time of each in microseconds, the client's part included. It reads as little of the
// responses as possible.
func (l *sender) load(request []byte, span time.Duration) (rate, cost float64) {
	before := processors()
	var all sync.WaitGroup
	var n atomic.Int64
	began := time.Now()
	for i, c := range l.connections {
		all.Go(func() {
			r := l.readers[i]
			for time.Since(began) < span {
				if _, err := c.Write(request); err != nil {
					panic(err)
				}
				length := 0
				for {
					line, err := r.ReadSlice('\n')
					if err != nil {
						panic(err)
					}
					if len(line) <= 2 {
						break
					}
					if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
						for _, d := range value[:len(value)-2] {
							length = length*10 + int(d-'0')
						}
					}
				}
				if _, err := r.Discard(length); err != nil {
					panic(err)
				}
				n.Add(1)
			}
		})
	}
	all.Wait()
	took := time.Since(began)
	return float64(n.Load()) / took.Seconds(), float64((processors() - before).Microseconds()) / float64(n.Load())
}

// processors returns the CPU time of this process.
func processors() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkKeptHandler measures both handlers alone, without the network.
//
//	go test -run '^$' -bench KeptHandler ./tests/bench
func BenchmarkKeptHandler(b *testing.B) {
	s := stoatest.Start(b, nil)
	importArticles(b, s, 300)
	for name, body := range answerPages(b, s) {
		run := func(b *testing.B, h http.Handler) {
			b.ReportAllocs()
			reader := bytes.NewReader(body)
			r := httptest.NewRequest(http.MethodPost, "http://localhost/graphql", reader)
			r.Header = http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}}
			w := nowhere{http.Header{}}
			for b.Loop() {
				reader.Reset(body)
				r.Body, r.ContentLength = io.NopCloser(reader), int64(len(body))
				clear(w.header)
				h.ServeHTTP(w, r)
			}
		}
		ask1(b, s.URL, requestText(b, body, "POST", ""))
		b.Run(name+"/kept", func(b *testing.B) { run(b, s.Handler()) })
		b.Run(name+"/plain", func(b *testing.B) {
			answer := make([]byte, 5000)
			run(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header()["Content-Type"] = []string{"application/json; charset=utf-8"}
				_, _ = w.Write(answer)
			}))
		})
	}
}

// nowhere is a ResponseWriter that costs nothing and has deadlines, as a connection's has.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header { return n.header }

func (n nowhere) Write(p []byte) (int, error) { return len(p), nil }

func (n nowhere) WriteHeader(int) {}

func (n nowhere) SetReadDeadline(time.Time) error { return nil }

func (n nowhere) SetWriteDeadline(time.Time) error { return nil }
