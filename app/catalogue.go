package app

// The sub-commands that import products and exports, and that export. Entry points: runCatalogue,
// runArticles, runExport.

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"stoa/blog"
	"stoa/importer"
	"stoa/importer/catalogue"
	"stoa/shop"
)

// runCatalogue imports products from a file. If a server runs on the same data folder, it goes through
// that server.
func runCatalogue(ctx context.Context, c Config, log *slog.Logger, kind string, args []string, out, errOut io.Writer) error {
	args, dry := without(args, "--dry-run")
	words, list := without(args, "--list")
	mapping := ""
	if kind == "products" {
		words = slices.DeleteFunc(words, func(arg string) bool {
			given, is := strings.CutPrefix(arg, "--mapping=")
			if is {
				mapping = given
			}
			return is
		})
	}
	if len(words) != 1 || strings.HasPrefix(words[0], "-") {
		return usage("use: import shopify FILE.csv [--dry-run] [--list], or import products FILE.jsonl [--mapping FILE] [--dry-run] [--list]")
	}
	read := catalogue.Own
	switch {
	case kind == "shopify":
		read = catalogue.Shopify
	case mapping != "":
		text, err := os.ReadFile(mapping)
		if err != nil {
			return usage("import products: %s", err)
		}
		m, err := catalogue.ReadMapping(text)
		if err != nil {
			return usage("%s: %s", mapping, err)
		}
		read = func(ctx context.Context, o catalogue.Options) (catalogue.Report, error) {
			return catalogue.Lines(ctx, o, m)
		}
	}
	file, err := os.Open(words[0])
	if err != nil {
		return usage("import %s: %s", kind, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return usage("import %s takes a file; there is none at %q", kind, words[0])
	}
	a, done, err := openForImport(ctx, c, log, dry)
	if err != nil {
		return err
	}
	defer done()
	importing, err := a.Shop.BeginImport(ctx, dry)
	if err != nil {
		return err
	}
	step, clear := importer.Progress(errOut)
	report, err := read(ctx, catalogue.Options{File: file, Size: info.Size(), DryRun: dry, Add: importing.Add, Gone: importing.Gone, Step: step})
	clear()
	err = errors.Join(err, report.Table(out, list))
	if err == nil && report.Refused > 0 {
		return errFailed
	}
	return err
}

// runArticles imports an export of articles.
func runArticles(ctx context.Context, c Config, log *slog.Logger, args []string, out, errOut io.Writer) error {
	args, dry := without(args, "--dry-run")
	words, list := without(args, "--list")
	if len(words) != 1 || strings.HasPrefix(words[0], "-") {
		return usage("use: import articles FILE.jsonl [--dry-run] [--list]")
	}
	file, err := os.Open(words[0])
	if err != nil {
		return usage("import articles: %s", err)
	}
	defer file.Close()
	a, done, err := openForImport(ctx, c, log, dry)
	if err != nil {
		return err
	}
	defer done()
	importing, err := a.Blog.BeginImport(ctx, dry)
	if err != nil {
		return err
	}
	report, err := importer.Articles(ctx, file, importer.Options{Name: filepath.Base(words[0]), DryRun: dry, Import: importing.Add, Out: errOut})
	if err == nil {
		err = importing.Finish(ctx)
	}
	return tell(report, list, out, err)
}

// runExport writes all products or articles to out, a line each, in the order of their sources.
func runExport(ctx context.Context, c Config, log *slog.Logger, args []string, out io.Writer) error {
	if len(args) != 1 || args[0] != "products" && args[0] != "articles" {
		return usage("use: export articles, or export products")
	}
	a, err := openForCommand(ctx, c, log)
	if err != nil {
		return err
	}
	defer a.Close(context.WithoutCancel(ctx))
	buffered := bufio.NewWriter(out)
	encoder := json.NewEncoder(buffered)
	encoder.SetEscapeHTML(false)
	if args[0] == "products" {
		err = a.Shop.Export(ctx, func(p shop.ProductImport) error { return encoder.Encode(p) })
	} else {
		err = a.Blog.Export(ctx, func(of blog.Import) error { return encoder.Encode(of) })
	}
	if err != nil {
		return fmt.Errorf("export %s: %w", args[0], err)
	}
	return buffered.Flush()
}
