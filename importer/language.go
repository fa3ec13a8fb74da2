package importer

// The language of a file, and the translations of a text. Entry points: languages.learn,
// document.language, reader.settle.

import (
	"cmp"
	"path"
	"strings"

	"golang.org/x/text/language"

	"stoa/edit"
)

// iso639 are the two-letter codes of languages (ISO 639-1). Only these are taken for a language in
// the name of a file: next.js.md isn't in any.
const iso639 = " aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu "

// tagOf returns a language in its usual spelling (BCP 47), "" if code names none.
func tagOf(code string) string {
	tag, err := language.Parse(strings.ReplaceAll(strings.TrimSpace(code), "_", "-"))
	if err != nil || tag == language.Und {
		return ""
	}
	return tag.String()
}

// isLanguage reports whether a part of a path can be the code of a language.
func isLanguage(code string) bool {
	base, _, _ := strings.Cut(strings.ReplaceAll(strings.ToLower(code), "_", "-"), "-")
	return len(code) <= 11 && strings.Contains(iso639, " "+base+" ") && tagOf(code) != ""
}

// languageOf returns the language in the name of a file, as in post.fr.md, and "" for none.
func languageOf(name string) string {
	stem := strings.TrimSuffix(path.Base(name), path.Ext(name))
	if code := strings.TrimPrefix(path.Ext(stem), "."); stem != "."+code && isLanguage(code) {
		return code
	}
	return ""
}

// language returns the language of the site's files, unless these say another; "" if unknown.
func (s *site) language() string {
	for _, key := range []string{"defaultcontentlanguage", "default_language", "languagecode", "lang", "language", "locale"} {
		if tag := tagOf(s.config[key].text); tag != "" {
			return tag
		}
	}
	return tagOf(s.setting("i18n", "defaultlocale").text)
}

// translationKeys are the keys of front matter with a name that all translations of a text share.
var translationKeys = []string{"translationkey", "translation_key", "translation_id", "lang-ref", "lang_ref", "page_id", "ref"}

// languages finds out which names of files and folders are languages.
type languages struct {
	configured map[string]bool
	stems      map[string]int  // the number of files with a path, without the language in the name
	folders    map[string]bool // folders with a folder for each language
}

// learn reads the paths of all files.
func (l *languages) learn(s *site, files []file) {
	l.configured, l.stems, l.folders = map[string]bool{}, map[string]int{}, map[string]bool{}
	for code := range s.config["languages"].fields {
		l.configured[strings.ToLower(code)] = true
	}
	first := map[string]string{} // the language folder of each path
	for _, f := range files {
		if !f.markdown() {
			continue
		}
		l.stems[withoutLanguage(f.path)]++
		elements := strings.Split(f.path, "/")
		for i, element := range elements[:len(elements)-1] {
			if !isLanguage(element) {
				continue
			}
			dir := strings.Join(elements[:i], "/")
			rest := dir + "//" + strings.Join(elements[i+1:], "/")
			if other, twice := first[rest]; twice && other != element || l.configured[strings.ToLower(element)] {
				l.folders[dir] = true
			}
			first[rest] = element
		}
	}
}

// withoutLanguage returns the path of a file without its extension and the language before that.
func withoutLanguage(name string) string {
	stem := strings.TrimSuffix(name, path.Ext(name))
	if code := languageOf(name); code != "" {
		stem = strings.TrimSuffix(stem, "."+code)
	}
	return stem
}

// codeOf returns the code of a language in a path, as it is written there, and the path without it
// and without extension: of post.fr.md, if other files show that this is a translation, of
// index.fr.md, and of fr/post.md.
func (l *languages) codeOf(name string) (code, rest string) {
	rest = strings.TrimSuffix(name, path.Ext(name))
	if code = languageOf(name); code != "" {
		bare := withoutLanguage(name)
		if path.Base(bare) == "index" || l.stems[bare] > 1 || l.configured[strings.ToLower(code)] {
			return code, bare
		}
	}
	elements := strings.Split(rest, "/")
	for i, element := range elements[:len(elements)-1] {
		if isLanguage(element) && l.folders[strings.Join(elements[:i], "/")] {
			return element, strings.Join(append(append([]string{}, elements[:i]...), elements[i+1:]...), "/")
		}
	}
	return "", rest
}

// language returns the language of a document, and the code of it in the path, if there is one.
func (d *document) language() (tag, code string) {
	code, _ = d.reader.languages.codeOf(d.path)
	written, _ := d.text("lang", "language", "locale")
	return cmp.Or(tagOf(written), tagOf(code), d.reader.site.language()), code
}

// settle decides on the slugs of all posts. The original of a text comes first, so it keeps its
// slug; a translation with the same one gets its language behind it.
func (r *reader) settle() {
	originals := map[string]*linked{}
	for _, p := range r.learned {
		o := originals[p.group]
		if o == nil || o.code != "" && (p.code == "" || p.language == r.site.language() && o.language != p.language) {
			originals[p.group] = p
		}
	}
	add := func(p *linked) {
		if _, taken := r.wanted[p.slug]; !taken {
			r.wanted[p.slug] = p.file
		}
		p.address = r.reserve(r.name+"/"+p.file, p.slug)
		r.links.add(p)
	}
	for _, p := range r.learned {
		if originals[p.group] == p {
			add(p)
		}
	}
	for _, p := range r.learned {
		original := originals[p.group]
		if original == p {
			continue
		}
		p.original = original
		if code := strings.ToLower(cmp.Or(p.code, p.language)); p.slug == original.slug && code != "" {
			suffix := "-" + edit.Slug(code)
			p.slug = strings.TrimRight(p.slug[:min(len(p.slug), edit.MaxSlug-len(suffix))], "-") + suffix
		}
		add(p)
	}
}
