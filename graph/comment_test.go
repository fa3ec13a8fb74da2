package graph

// Tests of the codes in the userErrors of comments' payloads, and of the argument status.

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"stoa/graph/generated"
	"stoa/problem"
	"stoa/store"
)

func TestEveryRefusalOfACommentHasItsPlaceInTheEnum(t *testing.T) {
	inPayload := []problem.Code{
		problem.Invalid, problem.NotFound, problem.Conflict, problem.Forbidden, problem.Throttled, problem.KeyReused,
	}
	for _, code := range inPayload {
		shown, err := commentErrors(fmt.Errorf("wrapped: %w", problem.New(code, "no").After(1500*time.Millisecond)))
		if err != nil || len(shown) != 1 || !shown[0].Code.IsValid() || string(shown[0].Code) != string(code) || *shown[0].RetryAfter != 2 {
			t.Errorf("%s becomes %v, %v", code, shown, err)
		}
	}
	for _, code := range generated.AllCommentErrorCode {
		if !slices.Contains(inPayload, problem.Code(code)) {
			t.Errorf("nothing is refused as %s", code)
		}
	}
	fault := errors.New("the database is away")
	if shown, err := commentErrors(fault); !errors.Is(err, fault) || len(shown) != 0 {
		t.Errorf("a fault becomes %v, %v", shown, err)
	}
	if shown, err := commentErrors(nil); shown == nil || len(shown) != 0 || err != nil {
		t.Errorf("nothing wrong becomes %v, %v: the list is never null", shown, err)
	}
}

func TestStatusesAreReadAsTheExecutorDoes(t *testing.T) {
	cases := map[string]struct {
		reason string
		arg    any
		want   []store.CommentStatus
	}{
		"List":   {"several", []any{"SPAM", "HIDDEN"}, []store.CommentStatus{store.CommentSpam, store.CommentHidden}},
		"One":    {"one stands for a list", "SPAM", []store.CommentStatus{store.CommentSpam}},
		"None":   {"none", []any{}, nil},
		"Broken": {"what is no status is left to the resolver", []any{1}, nil},
	}
	for name, c := range cases {
		if got := statusesOf(c.arg); !slices.Equal(got, c.want) {
			t.Errorf("%s: %s: %v", name, c.reason, got)
		}
	}
}
