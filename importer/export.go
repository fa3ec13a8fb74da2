package importer

// Reading an export of articles, as blog.Export has them. Entry point: Articles.

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"stoa/blog"
	"stoa/edit"
)

// maxLine bounds a line of an export: an article of the longest kind, with each of its bytes escaped.
const maxLine = 32 << 20

// Articles imports an export: one article a line. A wrong line fails alone.
func Articles(ctx context.Context, file io.Reader, o Options) (Report, error) {
	r := run{options: o, progress: newProgress(o.Out, time.Now), report: Report{Name: o.Name, DryRun: o.DryRun, noun: "row"}}
	defer r.progress.clear()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, maxLine)
	for line := 1; lines.Scan(); line++ {
		if err := ctx.Err(); err != nil {
			return r.report, fmt.Errorf("import %s, from line %d on: %w", o.Name, line, err)
		}
		text := bytes.TrimSpace(lines.Bytes())
		if len(text) == 0 {
			continue
		}
		r.report.Files++
		a, err := exportedArticle(text)
		if err != nil {
			r.report.fail(o.Name, line, err.Error())
			continue
		}
		r.batch, r.batchPaths = append(r.batch, a), append(r.batchPaths, o.Name)
		if r.batchSize += len(a.Markdown); len(r.batch) >= batchFiles || r.batchSize >= batchBytes {
			if err := r.flush(ctx); err != nil {
				return r.report, err
			}
		}
	}
	if err := lines.Err(); err != nil {
		return r.report, fmt.Errorf("import %s, after %d rows: %w", o.Name, r.report.Files, err)
	}
	err := r.flush(ctx)
	r.report.finish(r.report.Files)
	return r.report, err
}

// exportedArticle reads a line and checks it: a person may have changed it.
func exportedArticle(text []byte) (a blog.Import, err error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&a); err != nil {
		return a, fmt.Errorf("the row isn't a line of an export of articles: %w", err)
	}
	for _, slug := range append([]string{a.Slug}, slugsOf(slices.Concat(a.Authors, a.Tags))...) {
		if slug == "" || edit.Slug(slug) != slug {
			return a, fmt.Errorf("%.100q is no slug: expected lower-case letters, digits and single hyphens", slug)
		}
	}
	switch {
	case a.Source == "" || a.Digest == "":
		return a, errors.New("the row has no source or no digest")
	case strings.TrimSpace(a.Title) == "":
		return a, errors.New("the article has no title")
	case a.PublishedAt.IsZero() && !a.Draft:
		return a, errors.New("an article that is no draft has publishedAt")
	}
	if a.Cover != nil && a.Cover.URL != "" {
		if err := edit.CheckURL(a.Cover.URL); err != nil {
			return a, fmt.Errorf("the cover: %w", err)
		}
	}
	return a, nil
}

func slugsOf(names []blog.ImportName) (out []string) {
	for _, n := range names {
		out = append(out, n.Slug)
	}
	return out
}
