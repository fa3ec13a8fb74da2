package mail

// A message in words: Links and their templates, and the writer, whose render lays out one message
// as text and HTML for smtp.go and outbox.go.

import (
	"embed"
	"errors"
	"fmt"
	html "html/template"
	"net/mail"
	"net/url"
	"regexp"
	"strings"
	text "text/template"
	"time"
	"unicode"
	"unicode/utf8"
)

// Links are URLs of the front end, used in place of {site} and {token}: SiteURL as it is, the
// others as templates such as {site}/verify?token={token}. The token is percent-encoded and fits
// into a path, a query or a fragment; a fragment keeps it out of the logs of servers.
type Links struct {
	SiteURL     string // such as https://example.org; a final slash doesn't count
	Verify      string
	Reset       string
	EmailChange string
}

const (
	addressLimit = 254 // bytes; RFC 5321, 4.5.3.1.3 less the angle brackets (erratum 1690)
	tokenLimit   = 512 // characters; ours have 43
	nameLimit    = 64  // characters; a longer one is text, not a name
	linkLimit    = 1000
)

// Check returns an error that names the invalid link of l, if there is one.
func (l Links) Check() error {
	_, err := l.site()
	if err != nil {
		return err
	}
	for _, link := range []struct{ name, template string }{
		{"the link to verify a registration", l.Verify},
		{"the link to reset a password", l.Reset},
		{"the link to confirm an address", l.EmailChange},
	} {
		if err := l.checkTemplate(link.template); err != nil {
			return fmt.Errorf("%s: %w", link.name, err)
		}
	}
	return nil
}

func (l Links) checkTemplate(template string) error {
	if !strings.Contains(template, "{token}") {
		return errors.New("it needs {token} in it, such as {site}/verify?token={token}")
	}
	if len(template) > linkLimit {
		return fmt.Errorf("it is longer than %d bytes", linkLimit)
	}
	const sample = "0000token0000"
	u, err := parseLink(l.put(template, sample))
	if err != nil {
		return err
	}
	if strings.Contains(u.Host, sample) {
		return errors.New("the token can't be in the host")
	}
	return nil
}

func (l Links) site() (*url.URL, error) {
	u, err := parseLink(l.SiteURL)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the site's address: %w", err)
	case len(l.SiteURL) > linkLimit:
		return nil, fmt.Errorf("the site's address is longer than %d bytes", linkLimit)
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(l.SiteURL, "#"):
		return nil, errors.New("the site's address: it has a query or a fragment, and no path can be added to these")
	}
	return u, nil
}

// parseLink parses an absolute http or https URL. It also refuses characters that mail programs and
// HTML would change.
func parseLink(link string) (*url.URL, error) {
	u, err := url.Parse(link)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.Opaque != "":
		return nil, errors.New("it has to be an absolute URL, such as https://example.org")
	case u.User != nil:
		return nil, errors.New("it can't have a user or a password")
	case strings.ContainsAny(link, "{}"):
		return nil, errors.New("only {site} and {token} can be put in")
	case strings.ContainsAny(link, " \"'<>\\^`|") || hasControl(link) || !utf8.ValidString(link):
		return nil, errors.New("it has a character that has to be percent-encoded")
	}
	return u, nil
}

func (l Links) put(template, token string) string {
	return strings.NewReplacer("{site}", strings.TrimRight(l.SiteURL, "/"), "{token}", url.QueryEscape(token)).Replace(template)
}

// of returns the template for a kind that carries a token; "" for the others.
func (l Links) of(k Kind) string {
	switch k {
	case Verify:
		return l.Verify
	case Reset:
		return l.Reset
	case EmailChange:
		return l.EmailChange
	}
	return ""
}

// The words of a kind are written once, in words/KIND.txt, and laid out twice.
//
//go:embed words message.txt message.html
var files embed.FS

// writer renders messages.
type writer struct {
	links Links
	host  string
	words map[Kind]*text.Template
	text  *text.Template
	html  *html.Template
}

// rendered is a message with all its words, ready for the server and the outbox.
type rendered struct {
	At      time.Time `json:"at"`
	Kind    Kind      `json:"kind"`
	To      string    `json:"to"`
	Subject string    `json:"subject"`
	Text    string    `json:"text"`
	HTML    string    `json:"html"`
	Link    string    `json:"link"` // "" for a kind without a token; so is Code
	Code    string    `json:"code"`
}

func newWriter(l Links) (*writer, error) {
	if err := l.Check(); err != nil {
		return nil, err
	}
	site, err := l.site()
	if err != nil {
		return nil, err
	}
	w := &writer{links: l, host: site.Host, words: map[Kind]*text.Template{}}
	for _, k := range Kinds {
		if w.words[k], err = text.ParseFS(files, "words/"+string(k)+".txt"); err != nil {
			return nil, fmt.Errorf("words of %s: %w", k, err)
		}
	}
	if w.text, err = text.ParseFS(files, "message.txt"); err != nil {
		return nil, fmt.Errorf("mail: %w", err)
	}
	if w.html, err = html.ParseFS(files, "message.html"); err != nil {
		return nil, fmt.Errorf("mail: %w", err)
	}
	return w, nil
}

// render lays out l. Its error names the part of l that can't be sent.
func (w *writer) render(l Message) (rendered, error) {
	words, ok := w.words[l.Kind]
	if !ok {
		return rendered{}, errors.New("there is no such kind")
	}
	if err := checkAddress(l.To); err != nil {
		return rendered{}, err
	}
	r := rendered{Kind: l.Kind, To: l.To}
	if template := w.links.of(l.Kind); template != "" {
		if !token.MatchString(l.Token) || l.Until.IsZero() {
			return rendered{}, errors.New("it needs a token, and when that ends")
		}
		r.Code, r.Link = l.Token, w.links.put(template, l.Token)
	}
	data := struct {
		Host, Site, Name, Other  string
		Subject, Button, Unasked string
		Paragraphs               []string
		Link, Code, Until        string
	}{
		Host: w.host, Site: strings.TrimRight(w.links.SiteURL, "/"), Name: greetable(l.Name),
		Link: r.Link, Code: r.Code, Until: l.Until.UTC().Format("2 January 2006, 15:04 UTC"),
	}
	if l.Kind == EmailChanged {
		if err := checkAddress(l.Other); err != nil {
			return rendered{}, fmt.Errorf("the other address: %w", err)
		}
		data.Other = hidden(l.Other)
	}
	said := map[string]string{}
	for _, part := range []string{"subject", "says", "button", "unasked"} {
		var b strings.Builder
		if words.Lookup(part) == nil && part == "button" && r.Link == "" {
			continue
		}
		if err := words.ExecuteTemplate(&b, part, data); err != nil {
			return rendered{}, fmt.Errorf("words: %w", err)
		}
		said[part] = b.String()
	}
	for paragraph := range strings.SplitSeq(said["says"], "\n\n") {
		data.Paragraphs = append(data.Paragraphs, oneLine(paragraph))
	}
	data.Subject, data.Button, data.Unasked = oneLine(said["subject"]), oneLine(said["button"]), oneLine(said["unasked"])
	r.Subject = data.Subject
	var plain, rich strings.Builder
	if err := w.text.Execute(&plain, data); err != nil {
		return rendered{}, fmt.Errorf("text: %w", err)
	}
	if err := w.html.Execute(&rich, data); err != nil {
		return rendered{}, fmt.Errorf("HTML: %w", err)
	}
	r.Text, r.HTML = plain.String(), rich.String()
	return r, nil
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

var (
	token  = regexp.MustCompile(fmt.Sprintf(`^[!-~]{1,%d}$`, tokenLimit))
	domain = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.-]{0,253}$`)

	// notAName matches text that mail programs make links of, or that readers may take for one.
	notAName = regexp.MustCompile(`[/\\:@<>]|[.。．｡][\pL\pN]{2}`)
)

// greetable returns name if it can stand in a greeting, else "". Anybody can register somebody
// else's address: if any text were accepted as a name, strangers could send texts and links of
// their own from this site.
func greetable(name string) string {
	if !utf8.ValidString(name) || utf8.RuneCountInString(name) > nameLimit || hasControl(name) || notAName.MatchString(name) {
		return ""
	}
	return oneLine(name)
}

// hasControl reports whether s has a character that ends a line, reorders text or is invisible.
func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
	})
}

// checkAddress accepts an address alone, in its form in an envelope and in a header. It is strict,
// so that no accepted address can break either.
func checkAddress(address string) error {
	parsed, err := mail.ParseAddress(address)
	if err != nil || len(address) > addressLimit || !utf8.ValidString(address) || hasControl(address) ||
		parsed.Name != "" || parsed.String() != "<"+address+">" {
		return errors.New("the address can't be one")
	}
	return nil
}
