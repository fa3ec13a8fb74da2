package markdown

// Pictures in texts.

import (
	"strings"
	"testing"
)

// The address of an uploaded picture stays unchanged in a text.
func TestUploadedPicturesPass(t *testing.T) {
	const name = "/media/9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08-640.jpg"
	for _, base := range []string{"", "https://cdn.example.org"} {
		doc, err := Render("![A press](" + base + name + ")")
		if want := `<img src="` + base + name + `" alt="A press">`; err != nil || !strings.Contains(doc.HTML, want) {
			t.Errorf("%s isn't in %s, %v", want, doc.HTML, err)
		}
	}
}
