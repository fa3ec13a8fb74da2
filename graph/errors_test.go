package graph

// Errors shown and logged: problems, faults, time-outs and clients that leave.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"stoa/problem"
)

// at is the context of a field, by its path in the response.
func at(ctx context.Context, path ...string) context.Context {
	for i, name := range path {
		ctx = graphql.WithFieldContext(ctx, &graphql.FieldContext{Field: graphql.CollectedField{Field: &ast.Field{
			Name: name, Alias: name, Position: &ast.Position{Line: 1, Column: 3 + i},
		}}})
	}
	return ctx
}

// record is one line of a log.
type record map[string]any

// presenter returns an Errors, and a function that returns its log so far.
func presenter(t *testing.T) (Errors, func() []record) {
	t.Helper()
	var log bytes.Buffer
	return Errors{slog.New(slog.NewJSONHandler(&log, nil))}, func() []record {
		t.Helper()
		var all []record
		for line := range strings.Lines(log.String()) {
			var r record
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatal(err)
			}
			all = append(all, r)
		}
		return all
	}
}

func text(t *testing.T, shown *gqlerror.Error) string {
	t.Helper()
	b, err := json.Marshal(shown)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Only the end of the request's own time is the caller's error: a database that is too slow is our
// fault, and its error unwraps to the same.
func TestATimeoutIsTheCallersOnlyWhenTheirTimeRanOut(t *testing.T) {
	slow := fmt.Errorf("find: %w", context.DeadlineExceeded)
	e, logged := presenter(t)
	if shown := e.Present(at(t.Context(), "article"), slow); shown.Extensions["code"] != "INTERNAL" || len(logged()) != 1 {
		t.Errorf("a slow database is shown as %v", shown)
	}
	ended, cancel := context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer cancel()
	if shown := e.Present(at(ended, "article"), slow); shown.Extensions["code"] != "TIMEOUT" {
		t.Errorf("a request at the end of its time is shown %v", shown)
	}
}

func TestWhatTheCallerCanPutRightIsShownAsItIs(t *testing.T) {
	conflict := problem.New(problem.Conflict, "only %d left", 3)
	here := gqlerror.Location{Line: 1, Column: 4}
	cases := map[string]struct {
		reason string
		err    error
		want   *gqlerror.Error
	}{
		"Problem":  {"its message and its code", conflict, &gqlerror.Error{Message: "only 3 left", Extensions: map[string]any{"code": "CONFLICT"}}},
		"Wrapped":  {"the text around it is for us", fmt.Errorf("reserve sku-7: %w", conflict), &gqlerror.Error{Message: "only 3 left", Extensions: map[string]any{"code": "CONFLICT"}}},
		"Argument": {"and the argument at fault", conflict.At("where", "ids"), &gqlerror.Error{Message: "only 3 left", Extensions: map[string]any{"code": "CONFLICT", "argument": []string{"where", "ids"}}}},
		"Scalar": {
			"gqlgen writes it after the path of the field", gqlerror.WrapPath(ast.Path{ast.PathName("article"), ast.PathName("comments"), ast.PathName("ids"), ast.PathIndex(1)}, conflict),
			&gqlerror.Error{Message: "only 3 left", Extensions: map[string]any{"code": "CONFLICT", "argument": ast.Path{ast.PathName("ids"), ast.PathIndex(1)}}},
		},
		"Unavailable": {
			"the store logs that its database is away", fmt.Errorf("find in articles: %w: dial db-3", problem.ErrUnavailable),
			&gqlerror.Error{
				Message:    "what this needs can't be reached at this moment: try again in a few seconds, a mutation with the same idempotency key",
				Extensions: map[string]any{"code": "UNAVAILABLE", "retryAfter": 2},
			},
		},
		"Gqlgen": {"gqlgen's errors about a request are for the caller", gqlerror.Errorf("must not be null"), &gqlerror.Error{Message: "must not be null"}},
		"Coded": {
			"with its code and its rule", &gqlerror.Error{Message: "no", Rule: "Known", Extensions: map[string]any{"code": "X"}},
			&gqlerror.Error{Message: "no", Rule: "Known", Extensions: map[string]any{"code": "X"}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			e, logged := presenter(t)
			c.want.Path, c.want.Locations = ast.Path{ast.PathName("article"), ast.PathName("comments")}, []gqlerror.Location{here}
			got := e.Present(at(t.Context(), "article", "comments"), c.err)
			if want, got := text(t, c.want), text(t, got); got != want {
				t.Errorf("%s: shown is\n%s\nwant\n%s", c.reason, got, want)
			}
			if got.Rule != c.want.Rule {
				t.Errorf("%s: the rule is %q", c.reason, got.Rule)
			}
			if records := logged(); len(records) != 0 {
				t.Errorf("%s: it was logged: %v", c.reason, records)
			}
		})
	}
}

func TestWhatIsOurFaultIsLoggedOnceAndShownAsAReference(t *testing.T) {
	secret := errors.New("dial mongodb://root:hunter2@db-3")
	path := ast.Path{ast.PathName("articles"), ast.PathName("nodes"), ast.PathIndex(4), ast.PathName("author")}
	cases := map[string]struct {
		reason string
		err    error
		path   string
		cause  string // in the log
	}{
		"Plain":   {"an error of ours", fmt.Errorf("find in articles: %w", secret), "article.comments", "find in articles: dial mongodb://root:hunter2@db-3"},
		"Located": {"an error with a path by gqlgen", gqlerror.WrapPath(path, secret), "articles.nodes[4].author", "hunter2"},
		"Panic":   {"a panic", Errors{}.Recover(t.Context(), "index out of range hunter2"), "article.comments", "TestWhatIsOurFault"},
		"Joined":  {"several at once", errors.Join(errors.New("one"), secret), "article.comments", "hunter2"},
		"Foreign": {"a canceled context that isn't the client's", context.Canceled, "article.comments", "context canceled"},
	}
	seen := map[string]bool{}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			e, logged := presenter(t)
			shown := e.Present(at(t.Context(), "article", "comments"), c.err)
			text := text(t, shown)
			reference, _ := shown.Extensions["reference"].(string)
			if shown.Extensions["code"] != "INTERNAL" || len(reference) < 8 || !strings.Contains(shown.Message, reference) {
				t.Errorf("%s: shown is %s", c.reason, text)
			}
			if shown.Path.String() != c.path {
				t.Errorf("%s: its path is %s; want %s", c.reason, shown.Path, c.path)
			}
			for _, word := range []string{"hunter2", "mongodb", "goroutine", "canceled"} {
				if strings.Contains(text, word) {
					t.Errorf("%s: the client sees %s", c.reason, text)
				}
			}
			records := logged()
			if len(records) != 1 {
				t.Fatalf("%s: logged is %v", c.reason, records)
			}
			r := records[0]
			if r["level"] != "ERROR" || r["reference"] != reference || r["path"] != c.path || !strings.Contains(fmt.Sprint(r["error"]), c.cause) {
				t.Errorf("%s: logged is %v", c.reason, maps.Clone(r))
			}
			if seen[reference] {
				t.Errorf("%s: the reference isn't its own", c.reason)
			}
			seen[reference] = true
		})
	}
}

// When a client leaves in the middle of a request, other errors follow; they are no fault.
func TestWhatFailsBecauseTheClientHasGoneIsNotLogged(t *testing.T) {
	e, logged := presenter(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range []error{context.Canceled, fmt.Errorf("find in articles: %w", context.Canceled), errors.New("connection closed")} {
		if shown := e.Present(at(ctx, "article"), err); shown.Extensions["code"] != "INTERNAL" {
			t.Errorf("%v is shown as %v", err, shown)
		}
	}
	if records := logged(); len(records) != 0 {
		t.Errorf("logged is %v", records)
	}
}

func TestAnErrorOutsideOfAnyFieldIsPresentedToo(t *testing.T) {
	e, _ := presenter(t)
	shown := e.Present(t.Context(), problem.New(problem.Invalid, "no"))
	if shown.Message != "no" || shown.Path != nil || shown.Locations != nil {
		t.Errorf("shown is %#v", shown)
	}
}
