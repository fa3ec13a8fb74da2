package importer

// The facts that pages take from elsewhere in their site: its configuration, the sections above
// them, and the bundles around them. Entry points: FindSite, readSite, site.inherit,
// site.learnSection.

import (
	"cmp"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// configNames are the files with a site's configuration: Hugo's, Zola's, and Jekyll's.
var configNames = []string{
	"hugo.toml", "hugo.yaml", "hugo.yml", "hugo.json", "zola.toml", "config.toml", "config.yaml", "config.yml", "config.json",
	"config/_default/hugo.toml", "config/_default/hugo.yaml", "config/_default/hugo.yml",
	"config/_default/config.toml", "config/_default/config.yaml", "config/_default/config.yml", "_config.yml", "_config.yaml", "_config.toml",
}

// configParts are Hugo's files with one key of the configuration each, by the key.
var configParts = []string{"params", "markup", "permalinks", "languages", "cascade"}

// maxAbove is the number of folders above the imported one that may be the top of its site:
// content/blog/2024/05 has four.
const maxAbove = 6

// FindSite returns the top folder of the site that dir belongs to, and the path of dir in it. The
// top has a configuration file, or a folder of content above or at dir. Without any, it is dir.
func FindSite(dir string) (top, at string, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return "", "", err
	}
	top = dir
	for up, n := dir, 0; n <= maxAbove; up, n = filepath.Dir(up), n+1 {
		if rel, _ := filepath.Rel(up, dir); isTop(up, filepath.ToSlash(rel)) {
			top = up
			break
		}
		if up == filepath.Dir(up) {
			break
		}
		if base := filepath.Base(up); top == dir && (base == "content" || base == "_posts") {
			top = filepath.Dir(up)
		}
	}
	at, err = filepath.Rel(top, dir)
	return top, filepath.ToSlash(at), err
}

// isTop reports whether dir has the configuration of a site with the content at a path below. Many
// programs have a file called config: beside content only it is a site's.
func isTop(dir, content string) bool {
	own := content == "." || content == "content" || strings.HasPrefix(content, "content/")
	return slices.ContainsFunc(append([]string{"docusaurus.config.js", "docusaurus.config.ts"}, configNames...), func(name string) bool {
		if strings.HasPrefix(name, "config.") && !own {
			return false
		}
		info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(name)))
		return err == nil && info.Mode().IsRegular()
	})
}

// site is everything known of the site around the files.
type site struct {
	fsys     fs.FS  // of its top folder; nil for none
	at       string // the path of the imported folder in fsys
	name     string // the identity of the imported folder
	config   map[string]value
	cascades []cascade
	hidden   map[string]string // folder of a bundle → its page, if readers don't see that
}

// cascade is front matter for all pages of a folder.
type cascade struct {
	dir    string // relative to the imported folder; "." for all of it
	from   string // its file, for notes
	fields map[string]value
	target map[string]value // conditions on pages: path, kind, lang, environment
	forced bool             // it wins over the front matter of a page
}

// readSite reads the configuration at the top of the site. One that can't be read counts as none:
// it decides about nothing but niceties.
func readSite(fsys fs.FS, at, name string) *site {
	s := &site{fsys: fsys, at: path.Clean(at), name: name, config: map[string]value{}, hidden: map[string]string{}}
	if fsys == nil {
		return s
	}
	for _, name := range configNames {
		for key, v := range readConfig(fsys, name) {
			if _, there := s.config[key]; !there {
				s.config[key] = v
			}
		}
	}
	for _, part := range configParts {
		for _, extension := range []string{".toml", ".yaml", ".yml"} {
			if fields := readConfig(fsys, "config/_default/"+part+extension); fields != nil {
				s.config[part] = value{fields: fields}
			}
		}
	}
	s.addCascade(".", "the site's configuration", s.config["cascade"])
	s.addDefaults()
	return s
}

func readConfig(fsys fs.FS, name string) map[string]value {
	data, err := file{path: name}.read(fsys)
	if err != nil {
		return nil
	}
	text, err := decode(data)
	if err != nil {
		return nil
	}
	var fields map[string]value
	switch path.Ext(name) {
	case ".toml":
		fields, err = readTOML(text, 1)
	case ".json":
		var raw map[string]any
		err = json.Unmarshal([]byte(text), &raw)
		fields = valueOf(raw, 0, 0).fields
	default:
		fields, _, err = readYAML(text, 1)
	}
	if err != nil {
		return nil
	}
	return fields
}

// addDefaults reads Jekyll's front matter by folder: defaults, a list of scope and values.
func (s *site) addDefaults() {
	for _, d := range s.config["defaults"].list {
		scope := path.Join("/", d.fields["scope"].fields["path"].text)
		within := path.Join("/", s.at)
		dir, below := ".", within == scope || strings.HasPrefix(within+"/", strings.TrimSuffix(scope, "/")+"/")
		if rest, above := strings.CutPrefix(scope, strings.TrimSuffix(within, "/")+"/"); above && !below {
			dir, below = rest, true
		}
		if below && len(d.fields["values"].fields) > 0 {
			s.cascades = append(s.cascades, cascade{dir: dir, from: "_config.yml", fields: d.fields["values"].fields})
		}
	}
}

// learnSection reads the front matter that a section's page (_index.md) has for the pages below it.
func (s *site) learnSection(f file, fsys fs.FS) {
	data, err := f.read(fsys)
	if err != nil {
		return
	}
	text, err := decode(data)
	if err != nil {
		return
	}
	m, err := split(text)
	if err != nil {
		return
	}
	dir := path.Dir(f.path)
	s.addCascade(dir, f.path, m.fields["cascade"])
	if code := languageOf(f.path); code != "" { // a section's page in one language speaks for that one
		for i := range s.cascades {
			if c := &s.cascades[i]; c.from == f.path && c.target["lang"].text == "" {
				c.target = map[string]value{"lang": {text: code}, "path": c.target["path"], "kind": c.target["kind"], "environment": c.target["environment"]}
			}
		}
	}
	if draft := m.fields["draft"]; m.format == formatTOML && isTrue(draft.text) { // Zola doesn't enter the folder
		s.cascades = append(s.cascades, cascade{dir: dir, from: f.path, fields: map[string]value{"draft": draft}, forced: true})
	}
}

// addCascade reads Hugo's cascade: one map of fields, or a list of maps, each perhaps with a target.
func (s *site) addCascade(dir, from string, v value) {
	for _, item := range items(v) {
		if item.fields == nil {
			continue
		}
		fields := maps.Clone(item.fields)
		target := fields["target"]
		if target.empty() {
			target = fields["_target"]
		}
		delete(fields, "target")
		delete(fields, "_target")
		s.cascades = append(s.cascades, cascade{dir: dir, from: from, fields: fields, target: target.fields})
	}
}

// inherit adds the front matter that the page gets from its sections to the fields that it lacks:
// the nearest section's value of each. It returns the origin of each added field.
func (s *site) inherit(page string, fields map[string]value) map[string]string {
	from := map[string]string{}
	forced := map[string]bool{}
	for _, c := range s.cascades { // the nearest is last: see reader.learnAll
		if c.dir != "." && !strings.HasPrefix(page, c.dir+"/") || !s.meets(page, c.target) {
			continue
		}
		for key, v := range c.fields {
			_, own := fields[key]
			if own && from[key] == "" && !c.forced || forced[key] {
				continue
			}
			v.line = 0
			fields[key], from[key], forced[key] = v, c.from, c.forced
		}
	}
	return from
}

// meets reports whether a page meets the target of a cascade. A condition that isn't understood is
// met: a page that is hidden by mistake is only a draft.
func (s *site) meets(page string, target map[string]value) bool {
	if kind := target["kind"].text; kind != "" && !globMatches(kind, "page") {
		return false
	}
	if environment := target["environment"].text; environment != "" && !globMatches(environment, "production") {
		return false
	}
	if lang := target["lang"].text; lang != "" && !globMatches(lang, cmp.Or(languageOf(page), s.language(), lang)) {
		return false
	}
	glob := target["path"].text
	if glob == "" {
		return true
	}
	whole := strings.Split(s.name+"/"+strings.TrimSuffix(page, path.Ext(page)), "/")
	for i := range whole { // the folder may be any part of the content
		if globMatches(glob, "/"+strings.Join(whole[i:], "/")) {
			return true
		}
	}
	return false
}

// globMatches matches Hugo's globs: ** for any path, * within an element, {a,b} for alternatives.
func globMatches(glob, text string) bool {
	var pattern strings.Builder
	depth := 0
	for i := 0; i < len(glob); i++ {
		switch c := glob[i]; {
		case c == '*' && strings.HasPrefix(glob[i:], "**"):
			pattern.WriteString(".*")
			i++
		case c == '*':
			pattern.WriteString("[^/]*")
		case c == '?':
			pattern.WriteString("[^/]")
		case c == '{':
			pattern.WriteString("(?:")
			depth++
		case c == '}' && depth > 0:
			pattern.WriteString(")")
			depth--
		case c == ',' && depth > 0:
			pattern.WriteString("|")
		default:
			pattern.WriteString(regexp.QuoteMeta(glob[i : i+1]))
		}
	}
	expression, err := regexp.Compile("(?i)^" + pattern.String() + "$")
	return err != nil || expression.MatchString(text)
}

// hiddenWith returns the page of the bundle around a file, if readers don't see that page: they
// don't see its parts either.
func (s *site) hiddenWith(name string) (page string, hidden bool) {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if page, hidden = s.hidden[dir]; hidden && page != name {
			return page, !isIndex(path.Base(name)) || path.Dir(name) != dir
		}
	}
	return "", false
}

// setting returns the value at a path of keys in the configuration.
func (s *site) setting(keys ...string) value {
	v := value{fields: s.config}
	for _, key := range keys {
		v = v.fields[key]
	}
	return v
}
