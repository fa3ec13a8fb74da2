package graph

// Codes of refusals and the error enums of the schema.

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"stoa/graph/generated"
	"stoa/problem"
)

// The code of a refusal is a value of each domain's enum, by its name: so each enum must have all
// codes, and no others.
func TestEveryRefusalHasItsPlaceInTheEnum(t *testing.T) {
	inPayload := []problem.Code{
		problem.Invalid, problem.NotFound, problem.Conflict, problem.Forbidden, problem.Throttled,
		problem.KeyReused, problem.Credentials, problem.Token,
	}
	for _, code := range inPayload {
		shown, err := accountErrors(fmt.Errorf("wrapped: %w", problem.New(code, "no")))
		if err != nil || len(shown) != 1 || !shown[0].Code.IsValid() || string(shown[0].Code) != string(code) {
			t.Errorf("%s becomes %v, %v", code, shown, err)
		}
	}
	for _, code := range generated.AllAccountErrorCode {
		if !slices.Contains(inPayload, problem.Code(code)) {
			t.Errorf("nothing is refused as %s", code)
		}
	}
}

func TestEveryRefusalOfAPictureHasItsPlaceInTheEnum(t *testing.T) {
	inPayload := []problem.Code{problem.Invalid, problem.NotFound, problem.Conflict, problem.Forbidden, problem.Throttled, problem.KeyReused}
	for _, code := range inPayload {
		_, shown, err := orMediaErrors(0, fmt.Errorf("wrapped: %w", problem.New(code, "no").After(time.Second)))
		if err != nil || len(shown) != 1 || !shown[0].Code.IsValid() || string(shown[0].Code) != string(code) || *shown[0].RetryAfter != 1 {
			t.Errorf("%s becomes %v, %v", code, shown, err)
		}
	}
	for _, code := range generated.AllMediaErrorCode {
		if !slices.Contains(inPayload, problem.Code(code)) {
			t.Errorf("nothing is refused as %s", code)
		}
	}
	fault := errors.New("the disk is full")
	if _, shown, err := orMediaErrors(0, fault); shown == nil || len(shown) != 0 || !errors.Is(err, fault) {
		t.Errorf("a fault becomes %v, %v", shown, err)
	}
}

func TestEveryRefusalOfWritingHasItsPlaceInTheEnum(t *testing.T) {
	inPayload := []problem.Code{problem.Invalid, problem.NotFound, problem.Conflict, problem.Forbidden, problem.KeyReused}
	for _, code := range inPayload {
		shown, err := articleErrors(fmt.Errorf("wrapped: %w", problem.New(code, "no").At("slug")))
		if err != nil || len(shown) != 1 || !shown[0].Code.IsValid() || string(shown[0].Code) != string(code) || !slices.Equal(shown[0].Path, []string{"slug"}) {
			t.Errorf("%s becomes %v, %v", code, shown, err)
		}
	}
	for _, code := range generated.AllArticleErrorCode {
		if !slices.Contains(inPayload, problem.Code(code)) {
			t.Errorf("nothing is refused as %s", code)
		}
	}
}

func TestWhatIsNoRefusalIsAnErrorOfTheAnswer(t *testing.T) {
	for name, err := range map[string]error{
		"Fault":           errors.New("the database is away"),
		"Unauthenticated": problem.New(problem.Unauthenticated, "sign in first"),
	} {
		if shown, got := accountErrors(err); !errors.Is(got, err) || len(shown) != 0 {
			t.Errorf("%s becomes %v, %v", name, shown, got)
		}
	}
	if shown, err := accountErrors(nil); shown == nil || len(shown) != 0 || err != nil {
		t.Errorf("nothing wrong becomes %v, %v: the list is never null", shown, err)
	}
}

func TestWhoIsThrottledIsToldInWholeSeconds(t *testing.T) {
	shown, _ := accountErrors(problem.New(problem.Throttled, "wait").After(1500 * time.Millisecond))
	if shown[0].RetryAfter == nil || *shown[0].RetryAfter != 2 {
		t.Errorf("%+v", shown[0])
	}
}
