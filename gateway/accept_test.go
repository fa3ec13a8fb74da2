package gateway

import (
	"net/http"
	"testing"
)

func TestAcceptChoosesTheMediaType(t *testing.T) {
	cases := map[string]struct {
		reason, accept string
		want           mediaType // "" for none
	}{
		"None":             {"the audits want the older type", "", mediaJSON},
		"Any":              {"they want it for */*, too", "*/*", mediaJSON},
		"AnyApplication":   {"application/* says no more", "application/*", mediaJSON},
		"GraphQL":          {"named", "application/graphql-response+json", mediaGraphQL},
		"JSON":             {"named", "application/json", mediaJSON},
		"Case":             {"media types have no case", "Application/GraphQL-Response+JSON", mediaGraphQL},
		"Recommended":      {"what the specification recommends to clients", "application/graphql-response+json; charset=utf-8, application/json; charset=utf-8", mediaGraphQL},
		"JSONFirst":        {"of two of one weight the first", "application/json, application/graphql-response+json", mediaJSON},
		"Apollo":           {"what Apollo Client 4 sends", "application/graphql-response+json,application/json;q=0.9", mediaGraphQL},
		"Urql":             {"what urql sends", "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed", mediaGraphQL},
		"Weights":          {"the heavier one", "application/graphql-response+json;q=0.5, application/json;q=0.6", mediaJSON},
		"WeightZero":       {"0 is never, whatever the wildcard says", "application/json;q=0, */*", mediaGraphQL},
		"AllZero":          {"nothing is left", "application/json;q=0, application/graphql-response+json;q=0, */*", ""},
		"NamedOverAny":     {"of one weight, the named one", "*/*, application/graphql-response+json", mediaGraphQL},
		"AnyHeavier":       {"a named type's own weight counts for it, the wildcard's for the other", "application/json;q=0.1, */*;q=0.9", mediaGraphQL},
		"Browser":          {"a browser takes anything at last", "text/html,application/xhtml+xml,*/*;q=0.8", mediaJSON},
		"HTML":             {"a page isn't to be had", "text/html", ""},
		"Stream":           {"nor a stream", "text/event-stream", ""},
		"Latin1":           {"nor another charset", "application/json; charset=iso-8859-1", ""},
		"Latin1Fallback":   {"but the other type", "application/json; charset=iso-8859-1, application/graphql-response+json", mediaGraphQL},
		"OtherParameter":   {"parameters that nobody knows don't hurt", "application/json; profile=\"x, y;q=0\"", mediaJSON},
		"BrokenWeight":     {"an element that can't be read counts as not sent", "application/json;q=high, application/graphql-response+json;q=0.1", mediaGraphQL},
		"WeightAboveOne":   {"1 is the most", "application/json;q=7, application/graphql-response+json;q=0.1", mediaGraphQL},
		"OnlyBroken":       {"then nothing was sent", "application/json;q=NaN", mediaJSON},
		"EmptyElements":    {"lists may have empty elements", ", ,application/graphql-response+json,", mediaGraphQL},
		"UnfinishedQuotes": {"a quote that doesn't end takes the rest", `text/html;a=", application/json`, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h := http.Header{}
			if c.accept != "" {
				h.Set("Accept", c.accept)
			}
			got, err := negotiate(h)
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
		media, err := negotiate(h)
		if (err == nil) != (media == mediaJSON || media == mediaGraphQL) {
			t.Errorf("%q: media type %q, refused %v", accept, media, err != nil)
		}
		for _, p := range preferences(h["Accept"]) {
			if !(p.weight >= 0 && p.weight <= 1) || p.name == "" {
				t.Errorf("%q: %+v", accept, p)
			}
		}
		acceptsGzip(h)
		wantsHTML(h)
		// What is named with the greatest weight is taken whatever else is there.
		h.Add("Accept", "application/graphql-response+json")
		if strictest, _ := negotiate(http.Header{"Accept": {"application/json;q=0.5", "application/graphql-response+json"}}); strictest != mediaGraphQL {
			t.Error("the heavier weight doesn't win")
		}
	})
}
