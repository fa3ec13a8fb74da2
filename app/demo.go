package app

// The demo: a small magazine and its shop in an empty database. Entry point: App.FillDemo.

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"time"

	"go.yaml.in/yaml/v4"

	"stoa/blog"
	"stoa/importer"
	"stoa/importer/demo"
	"stoa/money"
	"stoa/shop"
)

// demoTask is the name of the filling in the database's list of unfinished tasks, so an
// interrupted one is done again.
const demoTask = "demo"

// demoFolder is the folder's name in an import of importer/demo/articles from a checkout, so
// that such an import changes nothing.
const demoFolder = "demo/articles"

// FillDemo fills an empty database with a small magazine, by the normal import of a Markdown
// folder. It returns the number of articles made: 0 if the database was not empty, unless an
// interrupted filling left it so.
func (a *App) FillDemo(ctx context.Context) (int, error) {
	again, err := a.Store.Unfinished(ctx, demoTask)
	if err != nil {
		return 0, err
	}
	empty, err := a.Store.Empty(ctx)
	if err != nil || !empty && !again {
		return 0, err
	}
	if err := a.Store.Begin(ctx, demoTask); err != nil {
		return 0, err
	}
	n, err := fillDemo(ctx, a.Blog)
	if err != nil {
		return 0, err
	}
	if err := fillProducts(ctx, a.Shop); err != nil {
		return 0, err
	}
	return n, a.Store.Finish(ctx, demoTask)
}

func fillDemo(ctx context.Context, b *blog.Blog) (int, error) {
	articles, err := fs.Sub(demo.FS, "articles")
	if err != nil {
		return 0, err
	}
	importing, err := b.BeginImport(ctx, false)
	if err != nil {
		return 0, err
	}
	if err := fillNames(ctx, importing); err != nil {
		return 0, err
	}
	report, err := importer.Markdown(ctx, importer.Options{FS: articles, Name: demoFolder, Import: importing.Add})
	if err != nil {
		return 0, err
	}
	if report.Failed > 0 {
		var reasons bytes.Buffer
		_ = report.List(&reasons)
		return 0, fmt.Errorf("%d articles of the demo can't be read: %s", report.Failed, reasons.String())
	}
	if err := fillComments(ctx, importing); err != nil {
		return 0, err
	}
	return report.Created + report.Unchanged, importing.Finish(ctx)
}

// fillNames creates the demo's authors and tags with their descriptions.
func fillNames(ctx context.Context, importing *blog.Importing) error {
	var authors []struct{ Slug, Name, Bio, URL string }
	if err := readDemo("authors.yaml", &authors); err != nil {
		return err
	}
	for _, a := range authors {
		if err := importing.Author(ctx, blog.ImportName{Slug: a.Slug, Name: a.Name}, a.Bio, a.URL); err != nil {
			return err
		}
	}
	var tags []struct{ Slug, Name, Description string }
	if err := readDemo("tags.yaml", &tags); err != nil {
		return err
	}
	for _, t := range tags {
		if err := importing.Tag(ctx, blog.ImportName{Slug: t.Slug, Name: t.Name}, t.Description); err != nil {
			return err
		}
	}
	return nil
}

// fillProducts creates the demo's products, published.
func fillProducts(ctx context.Context, s *shop.Shop) error {
	var products []struct {
		Slug, Title, Vendor, Type, Description string
		Tags                                   []string
		Date                                   time.Time
		Variants                               []struct {
			SKU       string
			Options   yaml.Node
			Price     money.Decimal
			CompareAt money.Decimal `yaml:"compareAt"`
			Grams     int64
			Digital   bool
		}
	}
	if err := readDemo("products.yaml", &products); err != nil {
		return err
	}
	for _, p := range products {
		in := shop.ProductCreateInput{Title: p.Title, Slug: &p.Slug, Vendor: &p.Vendor, Type: &p.Type, Tags: p.Tags, DescriptionMarkdown: &p.Description}
		for _, v := range p.Variants {
			of := &shop.VariantInput{SKU: &v.SKU, Price: &v.Price, WeightGrams: &v.Grams, RequiresShipping: new(!v.Digital)}
			if v.CompareAt != "" {
				of.CompareAtPrice = &v.CompareAt
			}
			for i := 0; i+1 < len(v.Options.Content); i += 2 { // a map would lose the order
				of.Options = append(of.Options, &shop.SelectedOptionInput{Name: v.Options.Content[i].Value, Value: v.Options.Content[i+1].Value})
			}
			in.Variants = append(in.Variants, of)
		}
		if err := s.Fill(ctx, in, p.Date); err != nil {
			return fmt.Errorf("the product %q of the demo: %w", p.Slug, err)
		}
	}
	return nil
}

type demoComment struct {
	Name, Body string
	Date       time.Time
	Replies    []demoComment
}

func fillComments(ctx context.Context, importing *blog.Importing) error {
	var threads []struct {
		Article  string
		Comments []demoComment
	}
	if err := readDemo("comments.yaml", &threads); err != nil {
		return err
	}
	for _, t := range threads {
		if err := importing.Comments(ctx, t.Article, importComments(t.Comments)); err != nil {
			return err
		}
	}
	return nil
}

func importComments(from []demoComment) []blog.ImportComment {
	var to []blog.ImportComment
	for _, c := range from {
		to = append(to, blog.ImportComment{Name: c.Name, Markdown: c.Body, At: c.Date, Replies: importComments(c.Replies)})
	}
	return to
}

func readDemo(name string, out any) error {
	text, err := fs.ReadFile(demo.FS, name)
	if err != nil {
		return err
	}
	if err := yaml.Load(text, out, yaml.WithKnownFields()); err != nil {
		return fmt.Errorf("read the demo's %s: %w", name, err)
	}
	return nil
}
