package importer

// When an article is published, and whether readers may see it. Entry points: document.dates,
// document.visibility.

import (
	"path"
	"slices"
	"strings"
	"time"
)

// The notes about publication.
const (
	noteNoDate      = "no date, neither in the front matter nor in the path: imported as a draft"
	noteDateIgnored = "a date that doesn't matter to when it is published isn't understood: left out"
	noteUpdated     = "changed before it was published: the date of the change is left out"
	noteExpired     = "expirydate has passed, and Hugo would not show it: imported as a draft"
	noteExpires     = "expirydate is to come: Stoa doesn't take articles down by itself"
	noteHidden      = "weight 0 marks it as hidden: imported as a draft"
	noteDraft       = "draft in the front matter: imported as a draft"
	noteUnlisted    = "the front matter keeps it from readers, or out of lists: imported as a draft"
	noteHiddenPart  = "part of a page bundle whose page isn't shown: imported as a draft"
	noteDraftFolder = "lies in a folder of drafts: imported as a draft"
)

// dates reads the day of publication from the front matter, else from the file's name, else from
// path, permalink or url, else from the folders.
func (d *document) dates(p *parsed) error {
	for _, key := range []string{"datepublished", "publishdate", "published_at", "pubdate", "published", "date"} {
		written, v := d.text(key)
		if written == "" || key == "published" && isTruth(written) {
			continue
		}
		at, err := parseDate(written)
		if err != nil {
			return failAt(v.line, "%s is %s", key, err)
		}
		if at.Year() < 2 { // Go programs write an unset date as the year 1
			continue
		}
		p.article.PublishedAt = at
		break
	}
	if p.article.PublishedAt.IsZero() {
		p.article.PublishedAt = d.dayFromPath()
	}
	if p.article.PublishedAt.IsZero() {
		p.article.Draft = true
		d.note(noteNoDate, value{}, "")
	}
	if at, v, found := d.lesserDate("lastmod", "updated", "updated_at", "dateupdated", "last_modified_at", "last_modified", "modified"); found {
		if at.Before(p.article.PublishedAt) {
			d.note(noteUpdated, v, v.text)
		} else {
			p.article.UpdatedAt = at
		}
	}
	return nil
}

func (d *document) dayFromPath() time.Time {
	if day, _, found := cutDay(stemOf(d.path)); found {
		return day
	}
	for _, key := range []string{"path", "permalink", "url"} {
		if day, found := dayInPath(d.fields[key].text); found {
			return day
		}
	}
	day, _ := dayInPath(path.Dir(d.path))
	return day
}

// lesserDate reads a date that the article can be imported without.
func (d *document) lesserDate(keys ...string) (time.Time, value, bool) {
	written, v := d.text(keys...)
	if written == "" {
		return time.Time{}, v, false
	}
	at, err := parseDate(written)
	if err != nil {
		d.note(noteDateIgnored, v, err.Error())
		return time.Time{}, v, false
	}
	return at, v, at.Year() > 1
}

// visibility makes a draft of a post that the other system doesn't show. To publish a post that its
// author took down would be worse than an editor having to publish a draft.
func (d *document) visibility(p *parsed) {
	hide := func(rule string, v value, detail string) {
		p.article.Draft = true
		if from := d.inherited[detail]; from != "" {
			detail += ", from " + from
		}
		d.note(rule, v, detail)
	}
	if written, v := d.text("draft"); isTrue(written) {
		hide(noteDraft, v, d.origin(v))
	}
	if written, v := d.text("published"); isTruth(written) && !isTrue(written) {
		hide(noteDraft, v, d.origin(v))
	}
	if written, v := d.text("status", "state"); slices.Contains([]string{"draft", "pending", "private", "hidden", "unlisted", "unpublished", "trash", "archived"}, strings.ToLower(written)) {
		hide(noteDraft, v, d.origin(v))
	}
	for _, key := range hiddenIfTrue {
		if v := d.hiding(key); isTrue(v.text) {
			hide(noteUnlisted, v, key)
		}
	}
	for _, key := range hiddenIfFalse {
		if v := d.hiding(key); isTruth(v.text) && !isTrue(v.text) {
			hide(noteUnlisted, v, key)
		}
	}
	for _, key := range []string{"build", "_build"} {
		v := d.fields[key]
		d.used[key] = d.used[key] || v.fields != nil
		for _, option := range []string{"render", "list"} {
			if text := strings.ToLower(v.fields[option].text); slices.Contains([]string{"never", "false", "local", "link"}, text) {
				hide(noteUnlisted, v, key+"."+option)
			}
		}
	}
	if v := d.fields["password"]; v.text != "" {
		d.used["password"] = true
		hide(noteUnlisted, v, "password")
	}
	if written, v := d.text("visibility"); slices.Contains([]string{"private", "members", "paid", "hidden", "unlisted", "draft"}, strings.ToLower(written)) {
		hide(noteUnlisted, v, "visibility")
	}
	if page, hidden := d.reader.site.hiddenWith(d.path); hidden {
		hide(noteHiddenPart, value{}, page)
	}
	if d.within("_drafts") || d.within("drafts") {
		hide(noteDraftFolder, value{}, "")
	}
	if v := d.fields["weight"]; v.text == "0" || v.text == "1" {
		d.used["weight"] = true
		if v.text == "0" {
			hide(noteHidden, v, "")
		}
	}
	if at, v, found := d.lesserDate("expirydate", "unpublishdate"); found {
		if at.After(d.reader.now) {
			d.note(noteExpires, v, v.text)
		} else {
			hide(noteExpired, v, "")
		}
	}
}

// hiddenIfTrue and hiddenIfFalse are the keys by which other systems keep a page from readers, or
// out of every list of pages: of Hugo, Docusaurus, Hashnode, Eleventy, Zola, Obsidian and themes.
var (
	hiddenIfTrue  = []string{"headless", "unlisted", "hidden", "private", "saveasdraft", "ignorepost", "isdraft", "delisted", "eleventyexcludefromcollections"}
	hiddenIfFalse = []string{"render", "listed", "publish", "public", "output", "permalink"}
)

// hiding returns the value of a key about visibility, and marks the key as used if it is one.
func (d *document) hiding(key string) value {
	for _, fields := range []map[string]value{d.fields, d.fields["params"].fields, d.fields["extra"].fields} {
		if v := fields[key]; isTruth(v.text) {
			d.used[key] = true
			return v
		}
	}
	return value{}
}

// origin returns the file that a draft's mark comes from, if it isn't the draft's own.
func (d *document) origin(v value) string {
	for _, key := range []string{"draft", "published", "status", "state"} {
		if from := d.inherited[key]; from != "" && d.fields[key].text == v.text && v.line == 0 {
			return key + ", from " + from
		}
	}
	return ""
}

func isTrue(text string) bool {
	return slices.Contains([]string{"true", "yes", "on", "1"}, strings.ToLower(text))
}

func isTruth(text string) bool {
	return isTrue(text) || slices.Contains([]string{"false", "no", "off", "0"}, strings.ToLower(text))
}
