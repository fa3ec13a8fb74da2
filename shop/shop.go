// Package shop is the domain of selling: products and their variants. It decides on permissions and
// on what a product may be.
//
// It may import access, blog/markdown, edit, id, money, problem and store.
// Entry points: New and the methods of Shop.
package shop

import (
	"context"

	"stoa/access"
	"stoa/blog/markdown"
	"stoa/edit"
	"stoa/id"
	"stoa/money"
	"stoa/store"
)

// Shop is the domain of products. It is safe for concurrent use.
type Shop struct {
	store    *store.Store
	currency money.Currency
	markdown *markdown.Renderer
	products *edit.Kind[store.WholeProduct]
}

// New returns the shop in s. All prices are in currency.
func New(s *store.Store, currency money.Currency) *Shop {
	return &Shop{store: s, currency: currency, markdown: markdown.New(), products: productKind(s)}
}

// Facts are the properties of a shop that its front end asks for first.
type Facts struct{ Currency money.Currency }

// Facts returns the properties of the shop.
func (s *Shop) Facts() *Facts { return &Facts{s.currency} }

// Product returns the product that has or had a slug; NotFound if there is none that the viewer may
// see. The viewer is asked for only if no published product has the slug.
func (s *Shop) Product(ctx context.Context, slug string) (*store.Product, error) {
	return store.Products.Find(ctx, s.store, slug)
}

// Products returns a window of the list of published products, the newest first.
func (s *Shop) Products(w store.Window) (*store.List, error) { return store.Products.List(s.store, w) }

// productKind describes products to package edit.
func productKind(s *store.Store) *edit.Kind[store.WholeProduct] {
	return &edit.Kind[store.WholeProduct]{
		ID: store.Products.ID, Name: store.Products.Name, Role: access.Staff, Store: s,
		Fields: func(p *store.WholeProduct) edit.Fields {
			return edit.Fields{ID: &p.ID, Version: p.Version, Name: p.Title, Slug: &p.Slug, OldSlugs: &p.OldSlugs, WantedSlug: &p.WantedSlug}
		},
		Read: s.ProductNow,
		Taken: func(ctx context.Context, slugs []string) (map[string]id.ID, error) {
			return store.Products.SlugsTaken(ctx, s, slugs)
		},
		Insert:  s.AddProduct,
		Replace: s.ChangeProduct,
		Remove:  s.DeleteProduct,
	}
}
