package importer

// Pictures of a folder and of its site's static files, stored with the articles that show them. Entry
// point: run.pictures.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"io/fs"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"stoa/problem"
	"stoa/store"
)

const (
	noteNoPicture      = "picture that is neither in the folder nor among the static files of its site: its address stays"
	noteRefusedPicture = "picture that can't be stored: its address stays"
	noteNoFile         = "link to a file of the folder or its site, and only pictures are imported: its address stays"
)

// staticFolders are the folders of a site with files at the top of its addresses: of Hugo, Zola and
// Docusaurus, Astro, Hexo, Jekyll and Gatsby.
var staticFolders = []string{"static", "public", "assets", "source", "src", "docs/static", "."}

// stored is a picture in the media store, or the reason why it isn't there.
type stored struct {
	image   *store.Image
	address string
	refused string
}

// pictures stores the pictures that an article shows, and has the article show the stored ones.
func (r *run) pictures(ctx context.Context, f file, p *parsed) error {
	if r.options.Picture == nil {
		return nil
	}
	text := p.article.Markdown
	find := codeFinder{body: text}
	find.find()
	var out strings.Builder
	done := 0
	for _, at := range destinations(text, &find) {
		written := strings.TrimSuffix(strings.TrimPrefix(text[at.start:at.end], "<"), ">")
		target := html.UnescapeString(written)
		name, local := r.read.site.localFile(target, r.read.links.hosts)
		if !local {
			continue
		}
		if !isPicture(name) {
			if found := r.read.site.findFile(name, f.path); found != "" {
				p.notes = append(p.notes, note{line: p.targets[written], rule: noteNoFile, detail: target})
			}
			continue
		}
		picture, err := r.picture(ctx, name, f.path, altAt(text, at))
		if err != nil {
			return err
		}
		if picture.address == "" {
			p.notes = append(p.notes, picture.note(p.targets[written], target)...)
			continue
		}
		out.WriteString(text[done:at.start])
		out.WriteString(picture.address)
		done = at.end
	}
	out.WriteString(text[done:])
	p.article.Markdown = out.String()
	if err := r.storeCover(ctx, f, p); err != nil {
		return err
	}
	p.article.Digest = digest(p.article)
	return nil
}

func (r *run) storeCover(ctx context.Context, f file, p *parsed) error {
	cover := p.article.Cover
	if cover == nil {
		return nil
	}
	name, local := r.read.site.localFile(cover.URL, r.read.links.hosts)
	if !local || !isPicture(name) {
		return nil
	}
	picture, err := r.picture(ctx, name, f.path, cover.Alt)
	if err != nil {
		return err
	}
	if picture.image == nil {
		p.notes = append(p.notes, picture.note(0, cover.URL)...)
		return nil
	}
	used := *picture.image
	used.Alt = cover.Alt
	p.article.Cover = &used
	return nil
}

// note is the note about a picture that isn't stored; none in a dry run about one that would be.
func (s stored) note(line int, target string) []note {
	switch {
	case s.refused == "":
		return nil
	case s.refused == noteNoPicture:
		return []note{{line: line, rule: noteNoPicture, detail: target}}
	}
	return []note{{line: line, rule: noteRefusedPicture, detail: target + ": " + s.refused}}
}

// picture stores the picture that a page names, unless it is stored.
func (r *run) picture(ctx context.Context, name, page, alt string) (stored, error) {
	found := r.read.site.findFile(name, page)
	if found == "" {
		return stored{refused: noteNoPicture}, nil
	}
	if there, known := r.stored[found]; known {
		return there, nil
	}
	file, err := r.read.site.fsys.Open(found)
	if err != nil {
		return stored{refused: readable(err).Error()}, nil
	}
	defer file.Close()
	content, seeks := file.(io.ReadSeeker)
	if !seeks {
		data, err := io.ReadAll(file)
		if err != nil {
			return stored{refused: readable(err).Error()}, nil
		}
		content = bytes.NewReader(data)
	}
	var s stored
	s.image, s.address, err = r.options.Picture(ctx, content, alt)
	var refused *problem.Error
	switch {
	case errors.As(err, &refused) && refused.Code == problem.NotFound: // a dry run stores none
		s = stored{}
	case errors.As(err, &refused) && refused.Code == problem.Invalid:
		s = stored{refused: refused.Message}
	case err != nil:
		return stored{}, fmt.Errorf("store %s: %w", found, err)
	}
	if s.image != nil {
		r.report.Pictures++
	}
	r.stored[found] = s
	return s, nil
}

// localFile returns the path that an address has on the other site, relative to the page unless it
// begins with a slash. It isn't local if it is on another host.
func (s *site) localFile(address string, hosts []string) (name string, local bool) {
	at, err := url.Parse(strings.TrimPrefix(address, "@site/static"))
	if err != nil || at.Path == "" || at.Scheme != "" && at.Scheme != "http" && at.Scheme != "https" {
		return "", false
	}
	if at.Host != "" && !slices.Contains(hosts, strings.TrimPrefix(strings.ToLower(at.Host), "www.")) {
		return "", false
	}
	name = at.Path
	for _, key := range []string{"baseurl", "base_url"} { // of a site that isn't at the top of its host
		if base, err := url.Parse(s.config[key].text); err == nil && len(strings.Trim(base.Path, "/")) > 0 {
			if rest, found := strings.CutPrefix(name, "/"+strings.Trim(base.Path, "/")+"/"); found {
				name = "/" + rest
			}
		}
	}
	return name, path.Ext(name) != ""
}

// findFile returns the path in the site's top folder of a file that a page names; "" if there is
// none. A relative name is looked for beside the page, in the folder of the page's own name, and at
// the top.
func (s *site) findFile(name, page string) string {
	if s.fsys == nil {
		return ""
	}
	var places []string
	if !strings.HasPrefix(name, "/") {
		dir := path.Join(s.at, path.Dir(page))
		stem := strings.TrimSuffix(path.Base(page), path.Ext(page))
		places = append(places, path.Join(dir, name), path.Join(dir, stem, name), path.Join(dir, "..", name))
	}
	for _, folder := range staticFolders {
		places = append(places, path.Join(folder, name))
	}
	places = append(places, path.Join(s.at, name), path.Join("content", name))
	for _, place := range places {
		if !fs.ValidPath(place) {
			continue
		}
		if info, err := fs.Stat(s.fsys, place); err == nil && info.Mode().IsRegular() {
			return place
		}
	}
	return ""
}

// maxAltBefore is the length, in bytes, of the longest description of a picture that is read.
const maxAltBefore = 2000

var altAttribute = regexp.MustCompile(`(?i)\salt\s*=\s*(?:"([^"]*)"|'([^']*)')`)

// altAt returns the description of the picture with a destination.
func altAt(text string, at region) string {
	before := text[max(0, at.start-maxAltBefore):at.start]
	if element := strings.LastIndexByte(before, '<'); element >= 0 && (strings.HasSuffix(before, `"`) || strings.HasSuffix(before, "'")) {
		end := strings.IndexByte(text[at.end:], '>')
		return html.UnescapeString(captured(altAttribute, before[element:]+text[at.end-1:at.end+max(end, 0)]))
	}
	opening := strings.LastIndex(strings.TrimRight(before, " \t<"), "![")
	if opening < 0 {
		return ""
	}
	alt, _, _ := strings.Cut(before[opening+2:], "](")
	return unescapeMarkdown.ReplaceAllString(alt, "$1")
}

var unescapeMarkdown = regexp.MustCompile(`\\([!-/:-@\[-` + "`" + `{-~])`)
