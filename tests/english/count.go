package main

// Finding and counting: read walks a working tree, goTexts and schemaTexts find the English of one
// file, and pkg adds it up.

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	graphql "github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/lexer"
)

// pkg is the English of one folder.
type pkg struct {
	comments int // words of comments
	texts    int // words of texts that are shown or logged, and of descriptions
	relative int // relative words in both
	found    []text
}

// text is one comment, one string or one description.
type text struct {
	position string // file:line
	text     string
	comment  bool
}

func (p *pkg) rate() float64 { return 1000 * float64(p.relative) / float64(max(p.comments+p.texts, 1)) }
func (p *pkg) over() bool    { return p.relative*1000 > limit*(p.comments+p.texts) }

// word is one word, an identifier, too. An apostrophe may be inside.
var word = regexp.MustCompile(`[\pL\d_]*\pL[\pL\d_]*(['’]\pL+)*`)

// relativeWords are the words to count, in lower case. "That" is not one: it reads easily.
var relativeWords = []string{"who", "whoever", "whom", "whomever", "whose", "what", "whatever", "where", "wherever", "which", "whichever"}

// verb is a place of a format string. It is no word.
var verb = regexp.MustCompile(`%[-+# 0]*[\d.]*[a-zA-Z]`)

// counted returns the number of words in s, and of relative ones.
func counted(s string) (words, relative int) {
	for _, w := range word.FindAllString(s, -1) {
		words++
		stem, _, _ := strings.Cut(strings.ReplaceAll(strings.ToLower(w), "’", "'"), "'") // what's, who'd
		if slices.Contains(relativeWords, stem) {
			relative++
		}
	}
	return words, relative
}

func (p *pkg) add(t text) {
	var words, relative int
	if t.comment {
		words, relative = counted(t.text)
		p.comments += words
	} else {
		words, relative = counted(verb.ReplaceAllString(t.text, ""))
		p.texts += words
	}
	p.relative += relative
	if relative > 0 {
		p.found = append(p.found, t)
	}
}

// read returns the packages below dir by the path of their folder, the schema by the name of its
// file. Folders of generated code, of test data and of Node.js modules are left out.
func read(dir string) (map[string]*pkg, error) {
	packages := map[string]*pkg{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		base := entry.Name()
		if entry.IsDir() {
			if name != "." && (strings.HasPrefix(base, ".") || base == "node_modules" || base == "testdata" || name == "graph/generated") {
				return filepath.SkipDir
			}
			return nil
		}
		var texts []text
		switch filepath.Ext(base) {
		case ".go":
			texts, err = goTexts(path, name)
			name = filepath.ToSlash(filepath.Dir(name))
		case ".graphqls":
			texts, err = schemaTexts(path, name)
		}
		if err != nil {
			return err
		}
		for _, t := range texts {
			if packages[name] == nil {
				packages[name] = &pkg{}
			}
			packages[name].add(t)
		}
		return nil
	})
	return packages, err
}

// goTexts returns the comments of a Go file, and the strings in calls that make an error or a line
// of the log. Generated files have none.
func goTexts(path, name string) ([]text, error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	if ast.IsGenerated(file) {
		return nil, nil
	}
	at := func(p token.Pos) string { return name + ":" + strconv.Itoa(files.Position(p).Line) }
	var found []text
	for _, group := range file.Comments {
		// Text leaves out directives such as go:build.
		found = append(found, text{at(group.Pos()), group.Text(), true})
	}
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || !says(call) {
			return true
		}
		for _, argument := range call.Args {
			ast.Inspect(argument, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.CallExpr:
					return false // has arguments of its own
				case *ast.BasicLit:
					if s, err := strconv.Unquote(n.Value); n.Kind == token.STRING && err == nil {
						found = append(found, text{at(n.Pos()), s, false})
					}
				}
				return true
			})
		}
		return true
	})
	return found, nil
}

// says reports whether a call makes an error or a line of the log: its function is one of those
// packages', or a method with a log level's name. Failures of tests aren't shown to anybody else.
func says(call *ast.CallExpr) bool {
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	switch function := selector.Sel.Name; function {
	case "Debug", "Info", "Warn", "Error", "DebugContext", "InfoContext", "WarnContext", "ErrorContext", "Log", "LogAttrs":
		receiver, ok := selector.X.(*ast.Ident)
		return !ok || receiver.Name != "t" && receiver.Name != "b" // of a testing.TB
	case "New", "Errorf", "TooMuch":
		from, ok := selector.X.(*ast.Ident)
		return ok && slices.Contains([]string{"problem", "refusal", "errors", "fmt"}, from.Name)
	default:
		return false
	}
}

// schemaTexts returns the strings of a GraphQL schema: descriptions, and reasons of directives.
func schemaTexts(path, name string) ([]text, error) {
	input, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var found []text
	for tokens := lexer.New(&graphql.Source{Name: name, Input: string(input)}); ; {
		switch t, err := tokens.ReadToken(); {
		case err != nil:
			return nil, err
		case t.Kind == lexer.EOF:
			return found, nil
		case t.Kind == lexer.String, t.Kind == lexer.BlockString:
			found = append(found, text{name + ":" + strconv.Itoa(t.Pos.Line), t.Value, false})
		}
	}
}
