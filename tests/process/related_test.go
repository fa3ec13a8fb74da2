package process

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"stoa/tests/stoatest"
)

// An import is killed while it relates its articles, as a power cut would. A server that starts later
// relates the rest.
func TestAnImportThatIsKilledWhileItRelatesIsFinished(t *testing.T) {
	t.Parallel()
	const n = 400 // more than a small site, which is related at once
	uri := stoatest.Database(t)
	env := environ{"STOA_MONGODB_URI": uri}
	db := stoatest.OpenDatabase(t, uri)
	waiting := func() int {
		return stoatest.Count(t, db, "articles", bson.D{{Key: "unrelatedAt", Value: bson.D{{Key: "$gt", Value: time.Time{}}}}})
	}
	folder := t.TempDir()
	for i := range n {
		text := fmt.Sprintf("---\ntitle: Post %d\ndate: %s\nauthor: Ines Moreau %d\ntags: [all, group-%d, half-%d]\n---\nText.\n",
			i, time.Date(2026, 1, 1, 0, i, 0, 0, time.UTC).Format(time.RFC3339), i%50, i/10, i%2)
		stoatest.Check(t, os.WriteFile(filepath.Join(folder, fmt.Sprintf("post-%d.md", i)), []byte(text), 0o600))
	}
	importing := launch(t, env, "import", "markdown", folder)
	stoatest.Await(t, time.Minute, "the import to relate articles", func() bool {
		return stoatest.Count(t, db, "articles", bson.D{{Key: "relatedScores", Value: bson.D{{Key: "$exists", Value: true}}}}) > 0
	})
	importing.kill(t)
	if left := waiting(); left == 0 || left == n {
		t.Fatalf("%d of %d articles were left to be related", left, n)
	}
	serve(t, env)
	stoatest.Await(t, time.Minute, "the server to relate the rest", func() bool { return waiting() == 0 })
	cursor, err := db.Collection("articles").Find(t.Context(), bson.D{})
	stoatest.Check(t, err)
	var found []struct {
		Slug       string
		RelatedIDs []string `bson:"relatedIds"`
	}
	stoatest.Check(t, cursor.All(t.Context(), &found))
	for _, a := range found {
		if len(a.RelatedIDs) != 12 {
			t.Errorf("%s is related to %v", a.Slug, a.RelatedIDs)
		}
	}
	if len(found) != n {
		t.Errorf("there are %d articles", len(found))
	}
}
