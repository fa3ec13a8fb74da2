package gateway

// How much an answer could hold (weigh): a short query can ask for pages of pages of pages.
// It is known before anything runs, from the sizes of the pages that are asked for.

import (
	"encoding/json"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

const (
	// defaultMaxObjects is ten full pages of full pages: a hundred articles with a hundred
	// comments each are 10,000. An object with a few fields takes some 500 bytes while it is
	// written, so that many take 50 MB.
	defaultMaxObjects = 100_000

	// textWeighs is how many objects a whole text weighs: articles of 20 kB are long.
	textWeighs = 25

	// unpagedLength is how long a list is taken to be that isn't paged, such as an article's
	// tags, and pageLength a page whose size isn't given.
	unpagedLength = 5
	pageLength    = 20

	// longestPage is where sizes stop counting: the schema refuses a longer page by itself.
	longestPage = 100
)

// weigh refuses an operation whose answer could hold more than most objects. Introspection
// isn't counted: MaxDepth bounds it.
func weigh(operation *ast.OperationDefinition, variables map[string]any, most int64) *refusal {
	weight := weightOf(operation.SelectionSet, variables, most)
	if weight <= most {
		return nil
	}
	return refusef(codeAnswerTooLarge, "the answer could hold more than %d objects: ask for smaller pages, or for fewer lists within lists", most).at(operation.Position)
}

// weightOf is what a selection set weighs, exact up to most. measure has bounded how often
// it recurses.
func weightOf(set ast.SelectionSet, variables map[string]any, most int64) int64 {
	var total int64
	for _, selection := range set {
		if total > most {
			break
		}
		switch s := selection.(type) {
		case *ast.Field:
			total += weightOfField(s, variables, most)
		case *ast.InlineFragment:
			total += weightOf(s.SelectionSet, variables, most)
		case *ast.FragmentSpread:
			total += weightOf(s.Definition.SelectionSet, variables, most)
		}
	}
	return total
}

func weightOfField(f *ast.Field, variables map[string]any, most int64) int64 {
	if strings.HasPrefix(f.Name, "__") || f.Definition == nil {
		return 0
	}
	if len(f.SelectionSet) == 0 {
		if name := f.Definition.Type.Name(); name == "HTML" || name == "Markdown" {
			return textWeighs
		}
		return 0
	}
	below := 1 + weightOf(f.SelectionSet, variables, most)
	if below > most {
		return below
	}
	return lengthOf(f, variables) * below
}

// lengthOf is how many objects a field returns at most; of a connection, how many its page
// has, so that the lists within the connection don't count again.
func lengthOf(f *ast.Field, variables map[string]any) int64 {
	paged := false
	for _, name := range []string{"first", "last"} {
		paged = paged || f.Definition.Arguments.ForName(name) != nil
		if argument := f.Arguments.ForName(name); argument != nil {
			if n, ok := numberOf(argument.Value, variables); ok {
				return min(max(n, 1), longestPage)
			}
		}
	}
	if argument := f.Arguments.ForName("ids"); argument != nil && f.Definition.Type.Elem != nil {
		if value, err := argument.Value.Value(variables); err == nil {
			if ids, ok := value.([]any); ok {
				return min(max(int64(len(ids)), 1), longestPage)
			}
		}
	}
	switch {
	case paged:
		return pageLength
	case f.Definition.Type.Elem == nil, f.ObjectDefinition.Fields.ForName("pageInfo") != nil:
		return 1
	default:
		return unpagedLength
	}
}

func numberOf(v *ast.Value, variables map[string]any) (int64, bool) {
	value, err := v.Value(variables)
	if err != nil {
		return 0, false
	}
	switch n := value.(type) {
	case int64:
		return n, true
	case int:
		return int64(n), true
	case json.Number:
		i, err := n.Int64()
		return i, err == nil
	default:
		return 0, false
	}
}
