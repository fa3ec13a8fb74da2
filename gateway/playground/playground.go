// Package playground is GraphiQL as one page, built into the binary: an editor for queries,
// the schema's documentation, and runnable examples.
//
// The page sends no request to another host, and its content-security policy enforces that.
// vendor.sh bundles its scripts from npm packages, and explains how to update them. They are
// in assets/, compressed, as they are sent.
//
// It may import the standard library only.
package playground

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"path"
	"regexp"
	"slices"
	"strings"
)

const (
	// endpoint is the path for the page's queries, on the host that served it.
	endpoint = "/graphql"

	// assetPath is the path of the assets; web/build.mjs writes it into the style sheet.
	assetPath = "/playground/"

	// licences is the one asset that goes by a name without a hash, for people to ask for.
	licences = "LICENSES.txt"
)

//go:embed page.html
var pageSource string

//go:embed assets
var assets embed.FS

// Options configure the page.
type Options struct {
	// Tabs are open at a browser's first visit, in this order. Afterwards the page restores
	// the reader's own tabs, and the Examples panel offers these again. An empty list gives
	// one empty tab.
	Tabs []Tab
}

// Tab is one example: a query that runs as it is.
type Tab struct {
	// Query is a GraphQL document. The name of its first operation, which it must have, is the
	// tab's title, and the comment at its top is its description in the Examples panel. In both,
	// {server} stands for the origin of the server that the reader has opened.
	Query string

	// Variables and Headers are JSON objects as text; empty means none.
	Variables string
	Headers   string
}

// Handler serves the page at / and its assets below /playground/, to GET and HEAD. Anything
// else is not found. It is safe for concurrent use.
type Handler struct {
	page  page
	files map[string]file // by path; without the page
}

// manifest is the list of assets written by web/build.mjs.
type manifest struct {
	Script  string            `json:"script"`
	Style   string            `json:"style"`
	Icon    string            `json:"icon"`
	Preload []string          `json:"preload"` // scripts that Script imports, or will at once
	Workers map[string]string `json:"workers"` // by the label that Monaco gives them
	Files   map[string]struct {
		Size   int    `json:"size"`   // uncompressed, in bytes
		SHA256 string `json:"sha256"` // of the uncompressed bytes
	} `json:"files"`
	Sources map[string]string `json:"sources"` // the SHA-256 of each file in web/ that they were made from
}

// settings are passed from page.html to web/main.jsx.
type settings struct {
	Endpoint string            `json:"endpoint"`
	Tabs     []tabSettings     `json:"tabs,omitempty"`
	Workers  map[string]string `json:"workers"`
}

type tabSettings struct {
	Title     string `json:"title"`
	About     string `json:"about"`
	Query     string `json:"query"`
	Variables string `json:"variables,omitempty"`
	Headers   string `json:"headers,omitempty"`
}

// New returns the playground with the tabs of o. It fails if a tab's query names no operation,
// or if its variables or headers are not a JSON object.
func New(o Options) (*Handler, error) {
	m, err := readManifest()
	if err != nil {
		return nil, err
	}
	page, err := newPage(m, o.Tabs)
	if err != nil {
		return nil, err
	}
	h := &Handler{page: page, files: map[string]file{}}
	for name, about := range m.Files {
		f, err := newAsset(name, about.Size)
		if err != nil {
			return nil, err
		}
		h.files[assetPath+name] = f
	}
	notices, err := assets.ReadFile("assets/" + licences)
	if err != nil {
		return nil, fmt.Errorf("playground notices: %w", err)
	}
	h.files[assetPath+licences] = file{
		contentType:  "text/plain; charset=utf-8",
		cacheControl: revalidate,
		tag:          tagOf(notices),
		plain:        notices,
		size:         len(notices),
	}
	return h, nil
}

func readManifest() (manifest, error) {
	var m manifest
	text, err := assets.ReadFile("assets/manifest.json")
	if err != nil {
		return m, fmt.Errorf("playground manifest: %w", err)
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("playground manifest: %w", err)
	}
	return m, nil
}

// page is the page of all servers, without the origin of one.
type page struct {
	source   *template.Template
	assets   manifest
	settings settings
}

func newPage(m manifest, tabs []Tab) (page, error) {
	s := settings{Endpoint: endpoint, Workers: make(map[string]string, len(m.Workers))}
	for label, name := range m.Workers {
		s.Workers[label] = assetPath + name
	}
	for i, tab := range tabs {
		t, err := newTabSettings(tab)
		if err != nil {
			return page{}, fmt.Errorf("playground tab %d: %w", i+1, err)
		}
		s.Tabs = append(s.Tabs, t)
	}
	source, err := template.New("page.html").Parse(pageSource)
	if err != nil {
		return page{}, fmt.Errorf("playground page: %w", err)
	}
	p := page{source, m, s}
	_, err = p.at("http://localhost")
	return p, err
}

// serverName stands for the server's origin in tabs.
const serverName = "{server}"

// at returns the page as a reader gets it who has opened the server at origin.
func (p page) at(origin string) (file, error) {
	s := p.settings
	s.Tabs = slices.Clone(s.Tabs)
	for i := range s.Tabs {
		s.Tabs[i].About = strings.ReplaceAll(s.Tabs[i].About, serverName, origin)
		s.Tabs[i].Query = strings.ReplaceAll(s.Tabs[i].Query, serverName, origin)
	}
	var plain bytes.Buffer
	if err := p.source.Execute(&plain, struct {
		Path     string
		Assets   manifest
		Settings settings
	}{assetPath, p.assets, s}); err != nil {
		return file{}, fmt.Errorf("playground page: %w", err)
	}
	var compressed bytes.Buffer
	z := gzip.NewWriter(&compressed)
	if _, err := z.Write(plain.Bytes()); err != nil {
		return file{}, fmt.Errorf("playground page: %w", err)
	}
	if err := z.Close(); err != nil {
		return file{}, fmt.Errorf("playground page: %w", err)
	}
	return file{
		contentType:  "text/html; charset=utf-8",
		cacheControl: revalidate,
		tag:          tagOf(plain.Bytes()),
		plain:        plain.Bytes(),
		gzip:         compressed.Bytes(),
		size:         plain.Len(),
	}, nil
}

// operationName finds the name of a document's first operation as GraphiQL does for the
// titles of its tabs, so that both show the same.
var operationName = regexp.MustCompile(`(?m)^[^#\n]*\b(?:query|mutation|subscription)\s+(\w+)`)

func newTabSettings(t Tab) (tabSettings, error) {
	name := operationName.FindStringSubmatch(t.Query)
	if name == nil {
		return tabSettings{}, fmt.Errorf("its query names no operation")
	}
	for what, text := range map[string]string{"variables": t.Variables, "headers": t.Headers} {
		if text == "" {
			continue
		}
		var object map[string]any
		if err := json.Unmarshal([]byte(text), &object); err != nil {
			return tabSettings{}, fmt.Errorf("the %s of %s: %w", what, name[1], err)
		}
	}
	return tabSettings{
		Title:     name[1],
		About:     commentAbove(t.Query),
		Query:     t.Query,
		Variables: t.Variables,
		Headers:   t.Headers,
	}, nil
}

// commentAbove returns the comment at the beginning of a document, as one line.
func commentAbove(document string) string {
	var words []string
	for line := range strings.Lines(document) {
		text, ok := strings.CutPrefix(strings.TrimSpace(line), "#")
		if !ok {
			break
		}
		words = append(words, strings.Fields(text)...)
	}
	return strings.Join(words, " ")
}

func newAsset(name string, size int) (file, error) {
	compressed, err := assets.ReadFile("assets/" + name + ".gz")
	if err != nil {
		return file{}, fmt.Errorf("playground asset: %w", err)
	}
	contentType, ok := contentTypes[path.Ext(name)]
	if !ok {
		return file{}, fmt.Errorf("playground asset %s: no content type for its extension", name)
	}
	return file{
		contentType:  contentType,
		cacheControl: forever,
		tag:          name, // it contains a hash of the content
		gzip:         compressed,
		size:         size,
	}, nil
}

// contentTypes has every extension that web/build.mjs writes. The system's own table, used by
// package mime, differs from machine to machine.
var contentTypes = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
	".svg": "image/svg+xml",
	".ttf": "font/ttf",
}

func tagOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:16])
}
