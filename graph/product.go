package graph

// Root fields of products, and the edges of products that don't follow from the schema. The others are
// in rows.go.

import (
	"context"

	"stoa/dataloader"
	"stoa/graph/generated"
	"stoa/id"
	"stoa/shop"
	"stoa/store"
)

func descriptions(l *dataloader.Loaders) *dataloader.Loader[id.ID, store.Description] {
	return dataloader.Of(l, store.Descriptions)
}

func (q query) Shop(context.Context) (*shop.Facts, error) { return q.ShopService.Facts(), nil }

func (q query) Product(ctx context.Context, slug string) (*store.Product, error) {
	return orNull(q.ShopService.Product(ctx, slug))
}

func (q query) Products(ctx context.Context, first *int, after *string, last *int, before *string) (*dataloader.ProductConnection, error) {
	list, err := q.ShopService.Products(window(first, after, last, before))
	return listed(products(loaders(ctx)), list, err)
}

func (product) DescriptionMarkdown(ctx context.Context, p *store.Product) (string, error) {
	d, err := loaders(ctx).Description(ctx, p)
	return d.Markdown, err
}

func (product) DescriptionHTML(ctx context.Context, p *store.Product) (string, error) {
	d, err := loaders(ctx).Description(ctx, p)
	return d.HTML, err
}

func (product) Variant(ctx context.Context, p *store.Product, options []*shop.SelectedOptionInput) (*store.Variant, error) {
	all, err := variants(loaders(ctx)).Present(ctx, p.VariantIDs)
	return shop.Choose(all, options), err
}

func (m mutation) ProductCreate(ctx context.Context, in shop.ProductCreateInput) (*generated.ProductCreatePayload, error) {
	out, errs, err := orProductErrors(m.ShopService.CreateProduct(ctx, in))
	return &generated.ProductCreatePayload{Product: out.Product, Warnings: some(out.Warnings), UserErrors: errs}, err
}

func (m mutation) ProductUpdate(ctx context.Context, in shop.ProductUpdateInput) (*generated.ProductUpdatePayload, error) {
	out, errs, err := orProductErrors(m.ShopService.UpdateProduct(ctx, in))
	return &generated.ProductUpdatePayload{Product: out.Product, Warnings: some(out.Warnings), Current: out.Current, UserErrors: errs}, err
}

func (m mutation) ProductPublish(ctx context.Context, in shop.ProductPublishInput) (*generated.ProductPublishPayload, error) {
	out, errs, err := orProductErrors(m.ShopService.PublishProduct(ctx, in))
	return &generated.ProductPublishPayload{Product: out.Product, Current: out.Current, UserErrors: errs}, err
}

func (m mutation) ProductUnpublish(ctx context.Context, in shop.ProductPublishInput) (*generated.ProductUnpublishPayload, error) {
	out, errs, err := orProductErrors(m.ShopService.UnpublishProduct(ctx, in))
	return &generated.ProductUnpublishPayload{Product: out.Product, Current: out.Current, UserErrors: errs}, err
}

func (m mutation) ProductDelete(ctx context.Context, in shop.ProductPublishInput) (*generated.ProductDeletePayload, error) {
	out, errs, err := orProductErrors(m.ShopService.DeleteProduct(ctx, in))
	return &generated.ProductDeletePayload{Current: out.Current, UserErrors: errs}, err
}

func (m mutation) VariantCreate(ctx context.Context, in shop.VariantCreateInput) (*generated.VariantCreatePayload, error) {
	out, errs, err := orProductErrors(m.ShopService.CreateVariant(ctx, in))
	return &generated.VariantCreatePayload{Variant: out.Variant, Product: out.Product, UserErrors: errs}, err
}

func (m mutation) VariantUpdate(ctx context.Context, in shop.VariantUpdateInput) (*generated.VariantUpdatePayload, error) {
	out, errs, err := orProductErrors(m.ShopService.UpdateVariant(ctx, in))
	return &generated.VariantUpdatePayload{Variant: out.Variant, Product: out.Product, Current: out.Current, UserErrors: errs}, err
}

func (m mutation) VariantDelete(ctx context.Context, in shop.VariantDeleteInput) (*generated.VariantDeletePayload, error) {
	out, errs, err := orProductErrors(m.ShopService.DeleteVariant(ctx, in))
	return &generated.VariantDeletePayload{Product: out.Product, Current: out.Current, UserErrors: errs}, err
}
