package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"stoa/importer"
	"stoa/tests/stoatest"
)

// wanted are queries over the real blog blog-a, chosen by the subjects of its articles, each
// with the article that its reader looks for. Both were chosen before any rank was looked at.
var wanted = []struct{ query, slug, why string }{
	{"captioning a video", "508-accessible-videos-how-to-caption-videos", "other forms of both words"},
	{"audio description", "508-accessible-videos-how-to-make-audio-descriptions", "one of four articles on accessible videos"},
	{`"paperwork reduction act" guide`, "introducing-a-guide-paperwork-reduction-act", "a phrase that several have"},
	{"best time to tweet", "whens-the-best-time-to-tweet", "common words around one that isn't"},
	{"chatbot customer experience", "using-chatbots-to-improve-customer-experience", "customer experience is everywhere"},
	{"virtual assistant for student aid", "federal-student-aids-new-virtual-assistant-offers-model-for-improved-customer-service-in-government", "words far apart in a long title"},
	{"espanol interactive voice response", "diga-o-marque-2-usagov-en", "without the accent; two articles on the same system"},
	{"bug bounties", "tts-bug-bounty-program-3-year-review", "the plural"},
	{"A/B testing emails", "how-to-navigate-challenges-to-successfully-a-b-test-your-emails", "single letters"},
	{"lyme", "deep-dive-on-top-health-data-technology-innovation-for-lyme-disease", "one word that three have"},
	{"container vulnerabilities", "unique-vulnerability-counts-with-container-scanning", "the plural, the other way round"},
	{"web scrap", "gsa-future-focus-web-scraping", "under way: scraping"},
	{"remote usability tests", "an-introduction-usability-testing-why", "usability and tests are everywhere"},
	{"glossary for translators", "6-ways-translation-glossaries-help-agencies-succeed-in-sharing-information", "another form of each word"},
	{"hsts preload", "making-gov-more-secure-by-default", "in the text only"},
	{"town hall", "bringing-our-humanity-work-5-ingredients", "at the end of a title"},
	{"specialannouncement schema", "experimenting-with-specialannouncement-markup", "a name of one word; schema in the text only"},
	{"kids learning about money with augmented reality", "using-augmented-reality-teach-kids-about-currency", "a sentence, money in the text only"},
	{"how do I get my idea funded", "get-to-know-10x", "a question"},
	{"MICROPURCHASE THRESH", "experimenting-with-micropurchase-threshold", "capitals, under way"},
}

// realBlog imports a folder of real posts into a new Stoa, or skips the test if there is none.
func realBlog(t testing.TB, name string) *stoatest.Stoa {
	t.Helper()
	folder := stoatest.RealData(t, name)
	s := stoatest.Start(t, nil)
	importing, err := s.Blog.BeginImport(t.Context(), false)
	stoatest.Check(t, err)
	report, err := importer.Markdown(context.Background(), importer.Options{FS: os.DirFS(folder), Name: name, Import: importing.Add, Out: io.Discard})
	stoatest.Check(t, err)
	stoatest.Check(t, importing.Finish(t.Context()))
	t.Logf("%d articles", report.Created)
	return s
}

func TestTheWantedArticleIsAmongTheFirstThree(t *testing.T) {
	s := realBlog(t, "blog-a")
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 1, 2, ' ', 0)
	fmt.Fprintln(w, "query\twanted\trank\tfound\tfirst")
	for _, c := range wanted {
		var out struct {
			Search struct {
				Nodes []stoatest.Slugged
				Count struct{ Value int }
			}
		}
		s.Data(t, &out, `query ($q: String!) { search(query: $q, types: [ARTICLE], first: 10) { nodes { ... on Article { slug } } count { value } } }`, map[string]any{"q": c.query})
		rank, first := 1+slices.Index(out.Search.Nodes, stoatest.Slugged{Slug: c.slug}), "nothing"
		if len(out.Search.Nodes) > 0 {
			first = out.Search.Nodes[0].Slug
		}
		fmt.Fprintf(w, "%s\t%.30s\t%d\t%d\t%.30s\n", c.query, c.slug, rank, out.Search.Count.Value, first)
		if rank < 1 || rank > 3 {
			t.Errorf("%s: %q has %s at %d (%s)", "the wanted article is among the first three", c.query, c.slug, rank, c.why)
			for i, n := range out.Search.Nodes {
				t.Log(i+1, n.Slug)
			}
		}
	}
	stoatest.Check(t, w.Flush())
	t.Log("\n" + table.String())
}

type searchPage struct {
	Search struct {
		Edges []struct {
			Cursor, TitleHTML, SnippetHTML string
			Node                           struct {
				Typename string `json:"__typename"`
				Slug     string
			}
		}
		PageInfo struct {
			HasNextPage, HasPreviousPage bool
			EndCursor                    *string
		}
		Count struct {
			Value   int
			IsExact bool
		}
	}
}

const searchQuery = `query ($q: String!, $types: [SearchType!], $first: Int, $after: String) {
	search(query: $q, types: $types, first: $first, after: $after) {
		edges { cursor titleHtml snippetHtml node { __typename ... on Article { slug } ... on Author { slug } ... on Tag { slug } } }
		pageInfo { hasNextPage hasPreviousPage endCursor } count { value isExact } } }`

func TestSearchPagesThroughAllKinds(t *testing.T) {
	s := stoatest.Start(t, nil)
	s.Import(t, stoatest.Articles(60))
	seen := map[string]bool{}
	var after any
	pages := 0
	for {
		var out searchPage
		s.Data(t, &out, searchQuery, map[string]any{"q": "7", "first": 2, "after": after})
		for _, e := range out.Search.Edges {
			if name := e.Node.Typename + " " + e.Node.Slug; seen[name] {
				t.Errorf("%s comes twice", name)
			} else {
				seen[name] = true
			}
			if !strings.Contains(e.TitleHTML, "<mark>7</mark>") {
				t.Errorf("%s isn't highlighted: %s", e.Node.Slug, e.TitleHTML)
			}
		}
		if len(seen) > 0 && !out.Search.Count.IsExact {
			t.Error("the count isn't exact")
		}
		pages++
		if !out.Search.PageInfo.HasNextPage {
			if len(seen) != out.Search.Count.Value {
				t.Errorf("%d of %d were seen", len(seen), out.Search.Count.Value)
			}
			break
		}
		after = *out.Search.PageInfo.EndCursor
	}
	want := []string{"Article article-7", "Author author-7", "Tag tag-7"}
	for _, name := range want {
		if !seen[name] {
			t.Errorf("%s isn't found; %v are", name, seen)
		}
	}
	if pages < 2 {
		t.Errorf("%d pages", pages)
	}

	var out searchPage
	s.Data(t, &out, searchQuery, map[string]any{"q": "7", "types": []string{"TAG"}})
	if len(out.Search.Edges) != 1 || out.Search.Edges[0].Node.Slug != "tag-7" {
		t.Errorf("tags alone: %+v", out.Search.Edges)
	}
	cursor := out.Search.Edges[0].Cursor
	for name, variables := range map[string]map[string]any{
		"query": {"q": "8", "types": []string{"TAG"}, "after": cursor},
		"types": {"q": "7", "types": []string{"AUTHOR"}, "after": cursor},
	} {
		if a := s.Query(t, searchQuery, variables); len(a.Errors) != 1 || !strings.Contains(a.Errors[0].Message, "another list") {
			t.Errorf("a cursor of another %s: %s", name, a.Raw)
		}
	}
}

func TestSearchSaysWhatIsWrongWithAQuery(t *testing.T) {
	s := stoatest.Start(t, nil)
	for name, c := range map[string]struct{ reason, query, says string }{
		"Long":  {"10,000 words", strings.Repeat("word ", 10_000), "a query may have 200 characters"},
		"Many":  {"many words", strings.Repeat("a ", 17), "16 words"},
		"Empty": {"nothing", " ", "no word"},
	} {
		t.Run(name, func(t *testing.T) {
			for field, q := range map[string]string{
				"search":   `query ($q: String!) { search(query: $q) { nodes { __typename } } }`,
				"articles": `query ($q: String!) { articles(where: {query: $q}) { nodes { id } } }`,
			} {
				a := s.Query(t, q, map[string]any{"q": c.query})
				if len(a.Errors) != 1 || !strings.Contains(a.Errors[0].Message, c.says) || a.Errors[0].Extensions["code"] != "INVALID" {
					t.Errorf("%s in %s: %.300s", c.reason, field, a.Raw)
				}
			}
		})
	}
}

// A list with a query is the list without it, less the articles that the query doesn't match.
func TestListsByAQueryAreListsOfWhatIsFound(t *testing.T) {
	s := stoatest.Start(t, nil)
	s.Import(t, stoatest.Articles(60))
	var ids struct {
		Articles struct{ Nodes []struct{ ID string } }
	}
	s.Data(t, &ids, `{ articles(first: 30) { nodes { id } } }`, nil)
	list, err := json.Marshal(ids.Articles.Nodes)
	stoatest.Check(t, err)
	some := strings.NewReplacer(`{"ID":`, "", "}", "").Replace(string(list))
	conditions := map[string]string{
		"All": "", "Tag": `tag: "tag-3"`, "Author": `author: "author-2"`, "Both": `tag: "tag-3", author: "author-2"`, "NoTag": `tag: "none"`,
		"Since": `publishedAfter: "2026-05-31T00:00:00Z"`, "Until": `publishedBefore: "2026-05-31T00:00:00Z"`, "IDs": "ids: " + some,
	}
	for name, where := range conditions {
		for _, order := range []string{"PUBLISHED_AT", "TITLE", "UPDATED_AT"} {
			for _, direction := range []string{"ASC", "DESC"} {
				for _, window := range []string{"first: 100", "last: 7", "first: 4"} {
					// Each article has these words.
					ask := func(query string) string {
						q := fmt.Sprintf(`{ articles(%s, where: {%s %s}, orderBy: {field: %s, direction: %s}) { nodes { slug } pageInfo { hasNextPage hasPreviousPage } count { value isExact } } }`,
							window, where, query, order, direction)
						a := s.Query(t, q, nil)
						if len(a.Errors) > 0 {
							t.Fatalf("%s: %s", q, a.Raw)
						}
						return string(a.Data)
					}
					if with, without := ask(`query: "emphasis"`), ask(""); with != without {
						t.Errorf("%s by %s %s, %s:\n%s\nwithout a query\n%s", name, order, direction, window, with, without)
					}
				}
			}
		}
	}
	var out struct {
		Articles struct {
			Nodes    []stoatest.Slugged
			PageInfo struct{ EndCursor *string }
			Count    struct{ Value int }
		}
	}
	s.Data(t, &out, `{ articles(first: 2, where: {query: "article 1"}) { nodes { slug } pageInfo { endCursor } count { value } } }`, nil)
	if len(out.Articles.Nodes) != 1 || out.Articles.Nodes[0].Slug != "article-1" || out.Articles.Count.Value != 1 {
		t.Errorf("%+v", out.Articles)
	}
}
