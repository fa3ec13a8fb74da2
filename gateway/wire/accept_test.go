package wire

import (
	"net/http"
	"testing"
)

func TestAcceptChoosesTheMediaType(t *testing.T) {
	cases := map[string]struct {
		reason, accept string
		want           MediaType // "" for none
	}{
		"None":             {"the audits want the older type", "", JSON},
		"Any":              {"they want it for */*, too", "*/*", JSON},
		"AnyApplication":   {"application/* says no more", "application/*", JSON},
		"GraphQL":          {"named", "application/graphql-response+json", GraphQL},
		"JSON":             {"named", "application/json", JSON},
		"Case":             {"media types have no case", "Application/GraphQL-Response+JSON", GraphQL},
		"Recommended":      {"what the specification recommends to clients", "application/graphql-response+json; charset=utf-8, application/json; charset=utf-8", GraphQL},
		"JSONFirst":        {"of two of one weight the first", "application/json, application/graphql-response+json", JSON},
		"Apollo":           {"what Apollo Client 4 sends", "application/graphql-response+json,application/json;q=0.9", GraphQL},
		"Urql":             {"what urql sends", "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed", GraphQL},
		"Weights":          {"the heavier one", "application/graphql-response+json;q=0.5, application/json;q=0.6", JSON},
		"WeightZero":       {"0 is never, whatever the wildcard says", "application/json;q=0, */*", GraphQL},
		"AllZero":          {"nothing is left", "application/json;q=0, application/graphql-response+json;q=0, */*", ""},
		"NamedOverAny":     {"of one weight, the named one", "*/*, application/graphql-response+json", GraphQL},
		"AnyHeavier":       {"a named type's own weight counts for it, the wildcard's for the other", "application/json;q=0.1, */*;q=0.9", GraphQL},
		"Browser":          {"a browser takes anything at last", "text/html,application/xhtml+xml,*/*;q=0.8", JSON},
		"HTML":             {"a page isn't to be had", "text/html", ""},
		"Stream":           {"nor a stream", "text/event-stream", ""},
		"Latin1":           {"nor another charset", "application/json; charset=iso-8859-1", ""},
		"Latin1Fallback":   {"but the other type", "application/json; charset=iso-8859-1, application/graphql-response+json", GraphQL},
		"OtherParameter":   {"parameters that nobody knows don't hurt", "application/json; profile=\"x, y;q=0\"", JSON},
		"BrokenWeight":     {"an element that can't be read counts as not sent", "application/json;q=high, application/graphql-response+json;q=0.1", GraphQL},
		"WeightAboveOne":   {"1 is the most", "application/json;q=7, application/graphql-response+json;q=0.1", GraphQL},
		"OnlyBroken":       {"then nothing was sent", "application/json;q=NaN", JSON},
		"EmptyElements":    {"lists may have empty elements", ", ,application/graphql-response+json,", GraphQL},
		"UnfinishedQuotes": {"a quote that doesn't end takes the rest", `text/html;a=", application/json`, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h := http.Header{}
			if c.accept != "" {
				h.Set("Accept", c.accept)
			}
			got, err := Negotiate(h)
			if got != c.want || (err != nil) != (c.want == "") {
				t.Errorf("%s: got %q, want %q", c.reason, got, c.want)
			}
		})
	}
}

func FuzzAccept(f *testing.F) {
	for _, seed := range []string{"", "*/*", "application/json;q=0.5, application/graphql-response+json", `a/b;c="d,\"e";q=1`, "application/json;q=;q=1", ";;;,,,\"\\"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, accept string) {
		h := http.Header{"Accept": {accept}, "Accept-Encoding": {accept}}
		media, err := Negotiate(h)
		if (err == nil) != (media == JSON || media == GraphQL) {
			t.Errorf("%q: media type %q, refused %v", accept, media, err != nil)
		}
		for _, p := range preferences(h["Accept"]) {
			if !(p.weight >= 0 && p.weight <= 1) || p.name == "" {
				t.Errorf("%q: %+v", accept, p)
			}
		}
		acceptsGzip(h)
		WantsHTML(h)
		// The type with the greatest weight is chosen, with any others beside it.
		h.Add("Accept", "application/graphql-response+json")
		if strictest, _ := Negotiate(http.Header{"Accept": {"application/json;q=0.5", "application/graphql-response+json"}}); strictest != GraphQL {
			t.Error("the heavier weight doesn't win")
		}
	})
}

func TestPrefersEventStream(t *testing.T) {
	for accept, want := range map[string]bool{
		"text/event-stream":                   true,
		"text/event-stream, multipart/mixed":  true, // urql's subscriptions
		"text/event-stream, application/json": true,
		"application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed": false, // its queries
		"application/json, text/event-stream;q=0.9": false,
		"application/json;q=0.5, text/event-stream": true,
		"*/*":    false,
		"text/*": false,
		"":       false,
		`multipart/mixed;boundary="graphql";subscriptionSpec=1.0,application/json`: false, // Apollo's
	} {
		if got := prefersStream(http.Header{"Accept": {accept}}); got != want {
			t.Errorf("%q: %t", accept, got)
		}
	}
}
