package document

import (
	"strconv"
	"strings"
	"testing"

	"stoa/store/bus"
)

const (
	slugs = `query Slug($slug: String!) { article(slug: $slug) { slug } }`
	twice = `query A { article(slug: "a") { slug } } query B($slug: String = "b") { article(slug: $slug) { slug } }`
)

// repeat writes an element n times, %d its number and %+d the next.
func repeat(n int, element string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.NewReplacer("%d", strconv.Itoa(i), "%+d", strconv.Itoa(i+1)).Replace(element))
	}
	return b.String()
}

// nested writes open n times, then inside, then end n times.
func nested(n int, open, inside, end string) string {
	return strings.Repeat(open, n) + inside + strings.Repeat(end, n)
}

func connect(t testing.TB, address string) *bus.Connection {
	t.Helper()
	c, err := bus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}
