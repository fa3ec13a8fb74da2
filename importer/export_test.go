package importer

// Lines of an export that a person has changed.

import (
	"strings"
	"testing"
)

func TestAWrongLineOfAnExportSaysWhatIsWrong(t *testing.T) {
	good := `{"source":"a/b","digest":"1","slug":"b","title":"B","bodyMarkdown":"","draft":true,"tags":[{"slug":"t","name":"T"}]}`
	if _, err := exportedArticle([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new, reason string }{
		{`"slug":"b"`, `"slug":"B b"`, "no slug"}, {`"slug":"t"`, `"slug":""`, "no slug"}, {`"title":"B"`, `"title":" "`, "no title"},
		{`"draft":true`, `"draft":false`, "publishedAt"}, {`"source":"a/b"`, `"source":""`, "no source"}, {`"title"`, `"name"`, "unknown field"},
		{`"draft":true`, `"draft":true,"cover":{"url":"javascript:1"}`, "cover"}, {`}`, ``, "isn't a line"},
	} {
		if _, err := exportedArticle([]byte(strings.Replace(good, c.old, c.new, 1))); err == nil || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s: %v", c.new, err)
		}
	}
}
