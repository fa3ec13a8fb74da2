package importer

// The files of a folder, and the rules by which a file is skipped unread. Entry point: walk.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxFile is the size limit of a Markdown file, in bytes. The longest post in the blogs of the
// tests has 66 KB; a document of MongoDB, with the rendered page in it, may have 16 MiB.
const maxFile = 4 << 20

// The rules by which a file is skipped. The report shows them as they stand here.
const (
	skipNotMarkdown = "not Markdown (.md, .markdown, .mdown, .mkd, .mdx)"
	skipPicture     = "picture: stored for the articles that show it"
	skipSection     = "section page (_index.md): it lists posts and isn't one"
	skipFront       = "the folder's own page (index.md at the top)"
	skipHidden      = "hidden file (its name begins with a dot)"
	skipLink        = "symbolic link (not followed)"
	skipSpecial     = "neither a file nor a folder"
	skipEmpty       = "empty file"
	skipProject     = "about the project, without front matter (README, LICENSE, …)"
	skipBundled     = "part of the page bundle it lies in, without front matter of its own"

	noteFolder = "folder not entered (its name begins with a dot, or is node_modules)"
)

// file is one file or folder from walk: skipped by rule, failed with err, or to be read.
type file struct {
	path    string // slash-separated, relative to the folder; always UTF-8
	rule    string
	err     error
	folder  bool // a folder that wasn't entered because of rule: noted, not counted
	bundled bool // lies beside an index.md, so Hugo takes it for a part of that page
}

// markdown reports whether the file is one to parse.
func (f file) markdown() bool { return f.rule == "" && f.err == nil }

// read returns the file's bytes, or an error when they are more than maxFile.
func (f file) read(fsys fs.FS) ([]byte, error) {
	in, err := fsys.Open(f.path)
	if err != nil {
		return nil, readable(err)
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err != nil {
		return nil, readable(err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("larger than %d MiB", maxFile>>20)
	}
	return data, nil
}

// walk lists the content of the folder, sorted by path, element by element. A folder that can't be
// listed is a failure among the files; only the top one is an error.
func walk(ctx context.Context, fsys fs.FS) ([]file, error) {
	var files []file
	bundles := map[string]bool{}
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if cancelled := ctx.Err(); cancelled != nil {
			return cancelled
		}
		switch {
		case err != nil && name == ".":
			return err
		case err != nil:
			files = append(files, file{path: valid(name), err: readable(err)})
			return nil
		case name == ".":
			return nil
		case !utf8.ValidString(name):
			files = append(files, file{path: valid(name), err: errors.New("its name isn't UTF-8")})
			return nil
		case entry.IsDir() && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "node_modules"):
			files = append(files, file{path: name, rule: noteFolder, folder: true})
			return fs.SkipDir
		case entry.IsDir():
			return nil
		}
		f := file{path: name, rule: skipRule(name, entry.Type())}
		if f.rule == "" && name != "index.md" && isIndex(path.Base(name)) {
			bundles[path.Dir(name)] = true
		}
		files = append(files, f)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the folder: %w", err)
	}
	for i, f := range files {
		files[i].bundled = bundles[path.Dir(f.path)] && !isIndex(path.Base(f.path))
	}
	return files, nil
}

// skipRule returns the rule by which a file is skipped unread, or "".
func skipRule(name string, mode fs.FileMode) string {
	base := path.Base(name)
	switch {
	case mode&fs.ModeSymlink != 0:
		return skipLink
	case !mode.IsRegular():
		return skipSpecial
	case strings.HasPrefix(base, "."):
		return skipHidden
	case isPicture(base):
		return skipPicture
	case !isMarkdown(base):
		return skipNotMarkdown
	case strings.HasPrefix(base, "_index."):
		return skipSection
	case isIndex(name):
		return skipFront
	}
	return ""
}

// isMarkdown reports whether a file's name is that of a text in Markdown.
func isMarkdown(name string) bool {
	return slices.Contains([]string{".md", ".markdown", ".mdown", ".mkd", ".mdx"}, strings.ToLower(path.Ext(name)))
}

// isIndex reports whether base names the page of its folder: index.md, or index.fr.md.
func isIndex(base string) bool {
	return strings.HasPrefix(strings.ToLower(base), "index.") && !strings.Contains(base, "/")
}

// readable returns err without the path: the report names that anyway.
func readable(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return fmt.Errorf("%s: %w", at.Op, at.Err)
	}
	return err
}

func valid(name string) string { return strings.ToValidUTF8(name, "\uFFFD") }
