package stoatest

// Requests and mutations of tests, and feeds. Entry points: Create, Mutate, Decode, Fetch.

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"stoa/id"
)

// Cool empties the caches of s, except for the due times of the next scheduled article, the next mail
// and the next article to be related, since its background work reads them four times a second. It first
// waits for other background work, which would fill the caches again.
func Cool(t *testing.T, s *Stoa) {
	t.Helper()
	s.Quiesce(t)
	s.Store.Flush()
	for range 1000 {
		s.Commands()
		_, _, err := s.Store.NextDue(t.Context())
		Check(t, err)
		_, _, err = s.Store.NextMail(t.Context())
		Check(t, err)
		_, _, err = s.Store.NextUnrelated(t.Context())
		Check(t, err)
		if s.Commands() == 0 {
			return
		}
	}
	t.Fatal("the cache doesn't keep when the next article or mail is due")
}

// Create creates a draft as the default viewer of s.
func Create(t *testing.T, s *Stoa, input map[string]any) id.ID {
	t.Helper()
	var made struct{ Article struct{ ID id.ID } }
	Mutate(t, s, "articleCreate", input, "article { id }", &made)
	return made.Article.ID
}

// Mutate runs a mutation that must succeed; its payload is decoded into out unless out is nil.
func Mutate(t *testing.T, s *Stoa, mutation string, input map[string]any, selected string, out any) {
	t.Helper()
	var data struct{ Done json.RawMessage }
	s.Data(t, &data, fmt.Sprintf("mutation ($in: %s%sInput!) { done: %s(input: $in) { %s userErrors { message } } }",
		strings.ToUpper(mutation[:1]), mutation[1:], mutation, selected), map[string]any{"in": input})
	var errs struct{ UserErrors []struct{ Message string } }
	Check(t, json.Unmarshal(data.Done, &errs))
	if len(errs.UserErrors) > 0 {
		t.Fatalf("%s(%v): %s", mutation, input, data.Done)
	}
	if out != nil {
		Check(t, json.Unmarshal(data.Done, out))
	}
}

// Decode sends a query and decodes the response; an error in the response is an error.
func Decode(s *Stoa, out any, query string, variables map[string]any) error {
	a, err := s.Ask(query, variables)
	if err != nil {
		return err
	}
	if a.Status != 200 || len(a.Errors) > 0 {
		return fmt.Errorf("status %d: %s", a.Status, a.Raw)
	}
	return json.Unmarshal(a.Data, out)
}

// Fetched is the response to a request for a path.
type Fetched struct {
	Status int
	Header http.Header
	Body   string
}

// Fetch requests a path as a feed reader does, with headers given as "Name: value". The body
// is not decompressed.
func Fetch(s *Stoa, method, path string, headers ...string) (Fetched, error) {
	r, err := http.NewRequest(method, s.URL+path, nil)
	if err != nil {
		return Fetched{}, err
	}
	r.Header.Set("Accept-Encoding", "identity")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
		if name == "Host" {
			r.Host = value
		}
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return Fetched{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return Fetched{response.StatusCode, response.Header, string(body)}, err
}

// MustFetch is Fetch for a path that must respond, with any status.
func MustFetch(t testing.TB, s *Stoa, method, path string, headers ...string) Fetched {
	t.Helper()
	f, err := Fetch(s, method, path, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// FeedSite returns the settings of a site with feeds.
func FeedSite() Settings {
	return Settings{"STOA_SITE_URL": "https://lamp.example", "STOA_SITE_NAME": "Lamp", "STOA_PUBLIC_URL": "https://api.lamp.example"}
}

// Slugged is a decoded object with a slug.
type Slugged struct{ Slug string }

// Listed is a decoded list.
type Listed struct{ Nodes []Slugged }

// Has says if slug is in the list.
func (l Listed) Has(slug string) bool { return slices.Contains(l.Nodes, Slugged{slug}) }

// HasArticle says if a replica finds an article by its slug.
func HasArticle(t *testing.T, s *Stoa, slug string) bool {
	t.Helper()
	var out struct{ Article *Slugged }
	s.Data(t, &out, `query ($slug: String!) { article(slug: $slug) { slug } }`, map[string]any{"slug": slug})
	return out.Article != nil
}
