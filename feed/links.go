package feed

// Addresses in documents: Links, their checks, and put, which fills a template.

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Links are the URLs of the site: SiteURL is the front end and Public the API, as base URLs for
// paths to be added; a final slash doesn't count. The others are templates of pages of the front
// end, such as {site}/articles/{slug}.
type Links struct {
	SiteURL, Public      string
	Article, Author, Tag string
}

// linkLimit is the longest template, in bytes: with a slug of store.MaxSlug bytes, each of them
// escaped, a URL stays below maxURL, but for the oddest of sites.
const linkLimit = 400

// Check returns an error that names the invalid link of l, if there is one.
func (l Links) Check() error {
	for _, base := range []struct{ what, url string }{{"the site's address", l.SiteURL}, {"the API's address", l.Public}} {
		if err := CheckBase(base.url); err != nil {
			return fmt.Errorf("%s: %w", base.what, err)
		}
	}
	for _, page := range []struct{ what, template string }{
		{"the link to an article", l.Article}, {"the link to an author", l.Author}, {"the link to a tag", l.Tag},
	} {
		if err := checkTemplate(page.template, l.SiteURL); err != nil {
			return fmt.Errorf("%s: %w", page.what, err)
		}
	}
	return nil
}

// CheckBase returns an error unless a path can be added to the URL.
func CheckBase(base string) error {
	u, err := parseLink(base)
	switch {
	case err != nil:
		return err
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(base, "#"):
		return errors.New("it has a query or a fragment, and no path can be added to these")
	}
	return nil
}

// CheckTemplate returns an error unless template can be a page's URL, on any site.
func CheckTemplate(template string) error { return checkTemplate(template, "https://example.org") }

func checkTemplate(template, site string) error {
	if !strings.Contains(template, "{slug}") {
		return errors.New("it needs {slug} in it, such as {site}/articles/{slug}")
	}
	const sample = "0000slug0000"
	u, err := parseLink(put(template, site, sample))
	if err != nil {
		return err
	}
	if strings.Contains(u.Host, sample) {
		return errors.New("the slug can't be in the host")
	}
	return nil
}

// parseLink parses an absolute http or https URL, as mail.Links does. It also refuses characters
// that feed readers and HTML would change.
func parseLink(link string) (*url.URL, error) {
	u, err := url.Parse(link)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.Opaque != "":
		return nil, errors.New("it has to be an absolute URL, such as https://example.org")
	case len(link) > linkLimit:
		return nil, fmt.Errorf("it is longer than %d bytes", linkLimit)
	case u.User != nil:
		return nil, errors.New("it can't have a user or a password")
	case strings.ContainsAny(link, "{}"):
		return nil, errors.New("only {site} and {slug} can be put in")
	case strings.ContainsAny(link, " \"'<>\\^`|") || strings.ContainsFunc(link, unicode.IsControl) || !utf8.ValidString(link):
		return nil, errors.New("it has a character that has to be percent-encoded")
	}
	return u, nil
}

// put writes slug so that it fits into a path, a query or a fragment.
func put(template, site, slug string) string {
	escaped := strings.ReplaceAll(url.QueryEscape(slug), "+", "%20")
	return strings.NewReplacer("{site}", strings.TrimRight(site, "/"), "{slug}", escaped).Replace(template)
}

func (l Links) article(slug string) string { return put(l.Article, l.SiteURL, slug) }
func (l Links) author(slug string) string  { return put(l.Author, l.SiteURL, slug) }
func (l Links) tag(slug string) string     { return put(l.Tag, l.SiteURL, slug) }
func (l Links) home() string               { return strings.TrimRight(l.SiteURL, "/") + "/" }

// public is the URL of a path of the API. The path is given unescaped.
func (l Links) public(path string) string {
	return strings.TrimRight(l.Public, "/") + (&url.URL{Path: path}).EscapedPath()
}
