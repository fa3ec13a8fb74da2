package shop

// Creating, changing, publishing and deleting products. Entry points: CreateProduct, UpdateProduct,
// PublishProduct, UnpublishProduct, DeleteProduct.

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"time"

	"stoa/access"
	"stoa/blog/markdown"
	"stoa/edit"
	"stoa/id"
	"stoa/problem"
	"stoa/store"
)

// Limits of products: in characters, or the number of elements.
const (
	MaxTitle = 300
	MaxName  = 100 // of a vendor, a type, a tag, an option and a value of it
	MaxTags  = 100
)

// ProductCreateInput is the input of CreateProduct; nil for an omitted value.
type ProductCreateInput struct {
	Title               string
	Slug                *string
	Vendor              *string
	Type                *string
	Tags                []string
	DescriptionMarkdown *string
	Variants            []*VariantInput
	IdempotencyKey      *string `json:"-"`
}

// ProductUpdateInput is the input of UpdateProduct; nil for a value that stays.
type ProductUpdateInput struct {
	ID                  id.ID
	ExpectedVersion     int64
	Title               *string
	Slug                *string
	Vendor              *string
	Type                *string
	Tags                []string
	DescriptionMarkdown *string
}

// ProductPublishInput names a product and the version that the caller knows; nil for any.
type ProductPublishInput struct {
	ID              id.ID
	ExpectedVersion *int64
}

// The inputs of UnpublishProduct and DeleteProduct.
type (
	ProductUnpublishInput = ProductPublishInput
	ProductDeleteInput    = ProductPublishInput
)

// Result is the outcome of a mutation of a product. With a Conflict about the expected version,
// Current is the present product.
type Result struct {
	Product, Current *store.Product
	Variant          *store.Variant // the one that the mutation was about; nil for the whole product
	Warnings         []*problem.Warning

	whole *store.WholeProduct // Product with its variants
}

// productResult makes the outcome of an edit one of a product.
func productResult(in edit.Result[store.WholeProduct], err error) (Result, error) {
	out := Result{Warnings: in.Warnings}
	if in.Value != nil {
		out.Product, out.whole = &in.Value.Product, in.Value
	}
	if in.Current != nil {
		out.Current = &in.Current.Product
	}
	return out, err
}

// CreateProduct creates a product with its variants as a draft, for staff.
func (s *Shop) CreateProduct(ctx context.Context, in ProductCreateInput) (Result, error) {
	return productResult(s.products.Create(ctx, edit.Creation[store.WholeProduct]{Key: in.IdempotencyKey, Input: in, Slug: in.Slug,
		Fill: func(ctx context.Context, _ access.Viewer, p *store.WholeProduct) error { return s.begin(ctx, p, in) },
		Complete: func(_ context.Context, _ access.Viewer, o edit.Origin, p *store.WholeProduct) error {
			complete(p, o.At, func(n int) id.ID { return o.Part(variantPart(n)).ID(id.Variant) })
			return nil
		},
	}))
}

// Fill adds a published product to a shop that is being filled, without a viewer. Its ids follow from
// its slug and the time of its publication, so that a repetition adds nothing.
func (s *Shop) Fill(ctx context.Context, in ProductCreateInput, at time.Time) error {
	p := new(store.WholeProduct)
	if err := s.begin(ctx, p, in); err != nil {
		return err
	}
	p.ID = id.Derived(id.Product, at, *in.Slug)
	complete(p, at.UTC(), func(n int) id.ID { return id.Derived(id.Variant, at, *in.Slug+"\x00"+variantPart(n)) })
	p.Status, p.PublishedAt = store.ProductPublished, &p.CreatedAt
	_, err := s.products.Add(ctx, p, in.Slug)
	return err
}

// begin sets the fields of a new product that follow from the input.
func (s *Shop) begin(ctx context.Context, p *store.WholeProduct, in ProductCreateInput) error {
	if in.DescriptionMarkdown == nil {
		in.DescriptionMarkdown = new(string)
	}
	p.Status, p.Tags = store.ProductDraft, []string{}
	p.Variants = make([]store.Variant, len(in.Variants))
	for n, of := range in.Variants {
		if err := s.applyVariant(&p.Variants[n], *of); err != nil {
			return problem.Beneath(err, "variants", strconv.Itoa(n))
		}
	}
	if at, err := checkVariants(p); at < 0 {
		return problem.Beneath(err, "variants")
	} else if err != nil {
		return problem.Beneath(err, "variants", strconv.Itoa(at))
	}
	return s.applyProduct(ctx, p, ProductUpdateInput{
		Title: &in.Title, Vendor: in.Vendor, Type: in.Type, Tags: in.Tags, DescriptionMarkdown: in.DescriptionMarkdown,
	})
}

// complete sets the fields of a new product that follow from its id and the time.
func complete(p *store.WholeProduct, at time.Time, variant func(n int) id.ID) {
	p.CreatedAt, p.UpdatedAt, p.Description.ID = at, at, p.DescriptionID()
	for n := range p.Variants {
		p.Variants[n].ID = variant(n)
	}
	p.Summarise()
}

// UpdateProduct changes a product, for staff. Its variants stay.
func (s *Shop) UpdateProduct(ctx context.Context, in ProductUpdateInput) (Result, error) {
	return s.change(ctx, edit.Change[store.WholeProduct]{ID: in.ID, Expected: &in.ExpectedVersion, Slug: in.Slug,
		Apply: func(ctx context.Context, _ access.Viewer, p *store.WholeProduct) error {
			return s.applyProduct(ctx, p, in)
		},
	})
}

// PublishProduct shows a product to everyone, for staff. The time of its first publication stays. A
// product without variants can't be bought in any form: then PublishProduct returns Invalid.
func (s *Shop) PublishProduct(ctx context.Context, in ProductPublishInput) (Result, error) {
	return s.change(ctx, edit.Change[store.WholeProduct]{ID: in.ID, Expected: in.ExpectedVersion,
		Apply: func(_ context.Context, _ access.Viewer, p *store.WholeProduct) error {
			if len(p.Variants) == 0 {
				return problem.New(problem.Invalid, "the product has no variant: add one first, with variantCreate")
			}
			if p.Status = store.ProductPublished; p.PublishedAt == nil {
				p.PublishedAt = new(store.Now())
			}
			return nil
		},
	})
}

// UnpublishProduct hides a product from everyone but staff, for staff.
func (s *Shop) UnpublishProduct(ctx context.Context, in ProductUnpublishInput) (Result, error) {
	return s.change(ctx, edit.Change[store.WholeProduct]{ID: in.ID, Expected: in.ExpectedVersion,
		Apply: func(_ context.Context, _ access.Viewer, p *store.WholeProduct) error {
			p.Status = store.ProductDraft
			return nil
		},
	})
}

// DeleteProduct deletes a product with its variants, for good, for staff.
func (s *Shop) DeleteProduct(ctx context.Context, in ProductDeleteInput) (Result, error) {
	return productResult(s.products.Delete(ctx, edit.Change[store.WholeProduct]{ID: in.ID, Expected: in.ExpectedVersion}))
}

// change changes a product as edit.Kind.Change does, and sets the time of the change if there is one.
func (s *Shop) change(ctx context.Context, c edit.Change[store.WholeProduct]) (Result, error) {
	apply := c.Apply
	c.Apply = func(ctx context.Context, v access.Viewer, p *store.WholeProduct) error {
		before := *p
		if err := apply(ctx, v, p); err != nil {
			return err
		}
		if c.Slug != nil && *c.Slug != p.Slug || !reflect.DeepEqual(&before, p) {
			p.UpdatedAt = store.Now()
		}
		return nil
	}
	return productResult(s.products.Change(ctx, c))
}

// applyProduct makes the changes to a product itself.
func (s *Shop) applyProduct(ctx context.Context, p *store.WholeProduct, in ProductUpdateInput) (err error) {
	for _, line := range []struct {
		to, text    *string
		field       string
		least, most int
	}{
		{&p.Title, in.Title, "title", 1, MaxTitle}, {&p.Vendor, in.Vendor, "vendor", 0, MaxName}, {&p.Type, in.Type, "type", 0, MaxName},
	} {
		if err := edit.SetLine(line.to, line.text, line.field, line.least, line.most); err != nil {
			return err
		}
	}
	if in.Tags != nil {
		if p.Tags, err = tags(in.Tags); err != nil {
			return err
		}
	}
	if in.DescriptionMarkdown != nil {
		text := *in.DescriptionMarkdown
		rendered, err := s.markdown.Render(ctx, text)
		if errors.As(err, new(*markdown.Refusal)) {
			return problem.New(problem.Invalid, "%s", err).At("descriptionMarkdown")
		}
		if err != nil {
			return err
		}
		p.Description.Markdown, p.Description.HTML = text, rendered.HTML
	}
	return nil
}

// tags returns the tags of a product, each once, in their order.
func tags(in []string) ([]string, error) {
	out := []string{}
	for _, text := range in {
		tag, err := edit.Line(text, "tags", 1, MaxName)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(out, tag) {
			out = append(out, tag)
		}
	}
	if len(out) > MaxTags {
		return nil, problem.New(problem.Invalid, "a product takes at most %d tags, not %d", MaxTags, len(out)).At("tags")
	}
	return out, nil
}
