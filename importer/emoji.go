package importer

// Codes such as :smile: for emoji. Entry points: converter.emojis, reader.withEmoji, site.emoji.

import (
	"regexp"

	"github.com/yuin/goldmark-emoji/definition"
)

const noteEmoji = "codes for emoji, and the site's configuration doesn't say that they are replaced: left as they are"

var emojiCode = regexp.MustCompile(`:([a-z0-9_+-]{1,50}):`)

// emojis are GitHub's, by code: Hugo and jemoji take these.
var emojis = definition.Github()

// emoji reports whether the configuration has codes replaced: Hugo's, Jekyll's or Zola's.
func (s *site) emoji() bool {
	for _, list := range []string{"plugins", "gems"} {
		for _, plugin := range items(s.config[list]) {
			if plugin.text == "jemoji" {
				return true
			}
		}
	}
	return isTrue(s.config["enableemoji"].text) || isTrue(s.setting("markdown", "render_emoji").text)
}

func emojiOf(code string) (string, bool) {
	e, found := emojis.Get(code)
	if !found || e.Unicode == nil {
		return "", false
	}
	return string(e.Unicode), true
}

// emojis replaces the codes in a text, or notes them.
func (c *converter) emojis() {
	for _, m := range c.outsideAddresses(emojiCode) {
		sign, found := emojiOf(c.body[m[2]:m[3]])
		if !found || m[0] > 0 && '0' <= c.body[m[0]-1] && c.body[m[0]-1] <= '9' { // a time of day
			continue
		}
		if !c.emoji {
			c.noteAt(m[0], noteEmoji, c.body[m[0]:m[1]])
			return
		}
		c.edit(region{m[0], m[1]}, sign)
	}
}

// withEmoji replaces the codes in a title or a summary, if the site has that.
func (r *reader) withEmoji(text string) string {
	if !r.site.emoji() {
		return text
	}
	return emojiCode.ReplaceAllStringFunc(text, func(code string) string {
		if sign, found := emojiOf(code[1 : len(code)-1]); found {
			return sign
		}
		return code
	})
}
