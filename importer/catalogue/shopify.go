package catalogue

// Shopify's product CSV in both dialects, by its header. Entry point: Shopify.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"stoa/edit"
	"stoa/money"
	"stoa/shop"
	"stoa/store"
)

// The names of columns, of today's dialect and of the older one, in lower case. A column that isn't
// among them is kept as it is.
var (
	columnHandle      = []string{"url handle", "handle"}
	columnTitle       = []string{"title"}
	columnDescription = []string{"description", "body (html)"}
	columnVendor      = []string{"vendor"}
	columnType        = []string{"type"}
	columnTags        = []string{"tags"}
	columnPublished   = []string{"published on online store", "published"}
	columnStatus      = []string{"status"}
	columnSKU         = []string{"sku", "variant sku"}
	columnBarcode     = []string{"barcode", "variant barcode"}
	columnPrice       = []string{"price", "variant price"}
	columnCompareAt   = []string{"compare-at price", "variant compare at price"}
	columnGrams       = []string{"weight value (grams)", "variant grams"}
	columnShipping    = []string{"requires shipping", "variant requires shipping"}
	columnPicture     = []string{"product image url", "image src"}
	columnPosition    = []string{"image position"}
	columnAlt         = []string{"image alt text"}

	// columnsOfVariant are kept with the variant of their row, all others with the product.
	columnsOfVariant = []string{"variant ", "cost per item", "charge tax", "tax code", "unit price ", "inventory ", "continue selling", "weight unit", "fulfillment service"}
)

// optionColumns are the names of the columns of one option: of its name and of its value.
func optionColumns(n int) (name, value string) {
	return fmt.Sprintf("option%d name", n), fmt.Sprintf("option%d value", n)
}

// Shopify imports a product CSV of Shopify.
func Shopify(ctx context.Context, o Options) (Report, error) {
	var header []string
	known := map[string]bool{}
	for _, names := range [][]string{columnHandle, columnTitle, columnDescription, columnVendor, columnType, columnTags, columnPublished, columnStatus, columnSKU,
		columnBarcode, columnPrice, columnCompareAt, columnGrams, columnShipping, columnPicture, columnPosition, columnAlt} {
		for _, name := range names {
			known[name] = true
		}
	}
	for n := 1; n <= 3; n++ {
		name, value := optionColumns(n)
		known[name], known[value] = true, true
	}
	written := map[string]string{} // the columns as the header has them
	f := format{
		prefix: "shopify/", delimited: true,
		header: func(cells []string) error {
			for _, cell := range cells {
				name := strings.ToLower(strings.TrimSpace(cell))
				if name != "" && slices.Contains(header, name) {
					return fmt.Errorf("the header has the column %.100q twice", cell)
				}
				header = append(header, name)
				written[name] = strings.TrimSpace(cell)
			}
			if !slices.ContainsFunc(columnHandle, func(name string) bool { return slices.Contains(header, name) }) || !slices.Contains(header, "title") {
				return errors.New("the first line isn't the header of a product CSV of Shopify: expected columns with the names Title, and Handle or URL handle")
			}
			return nil
		},
		parse: func(text []byte) ([]cell, error) {
			values, err := fields(text)
			if err != nil {
				return nil, err
			}
			if len(values) > len(header) && strings.TrimSpace(strings.Join(values[len(header):], "")) != "" {
				return nil, fmt.Errorf("the row has %d columns, and the header %d: put a text with commas in quotes", len(values), len(header))
			}
			var cells []cell
			for n, value := range values[:min(len(values), len(header))] {
				cells = append(cells, cell{name: header[n], text: strings.TrimSpace(value)})
			}
			return cells, nil
		},
		source: func(r row) (string, error) {
			handle := r.get(columnHandle...)
			if handle == "" {
				return "", errors.New("the row has no handle: every row names its product")
			}
			return "shopify/" + handle, nil
		},
		product: func(source string, rows []row, r *Report) (shop.ProductImport, error) {
			return shopifyProduct(source, rows, known, written, r)
		},
	}
	return f.run(ctx, o)
}

// shopifyProduct makes a product of its rows. What is about the product stands in the first row that has
// a value for it.
func shopifyProduct(source string, rows []row, known map[string]bool, written map[string]string, r *Report) (shop.ProductImport, error) {
	first := func(names []string) string {
		for _, r := range rows {
			if text := r.get(names...); text != "" {
				return text
			}
		}
		return ""
	}
	p := shop.ProductImport{
		Source: source, Slug: edit.Slug(first(columnHandle)), Title: first(columnTitle), Vendor: first(columnVendor), Type: first(columnType),
		Tags: words(first(columnTags)), Markdown: markdownOf(first(columnDescription)),
	}
	if p.Title == "" {
		return p, lineError{rows[0].line, errors.New("the product has no title")}
	}
	published, err := truth(first(columnPublished), true)
	if err != nil {
		return p, lineError{rows[0].line, err}
	}
	status := strings.ToLower(first(columnStatus))
	p.Published = published && (status == "" || status == "active")
	if status != "" && !slices.Contains([]string{"active", "draft", "archived", "unlisted"}, status) {
		return p, lineError{rows[0].line, fmt.Errorf("the status is active, draft, archived or unlisted, not %.40q", status)}
	}
	if status == "archived" || status == "unlisted" {
		r.note(rows[0].line, fmt.Sprintf("%s: %s there, so a draft here", source, status))
	}
	type picture struct {
		position int
		store.RemotePicture
	}
	var pictures []picture
	lines, skus := map[string]int{}, map[string]int{}
	extras := map[string]bool{}
	for n, row := range rows {
		if url := row.get(columnPicture...); url != "" {
			position, err := strconv.Atoi(row.get(columnPosition...))
			if err != nil {
				position = n + 1
			}
			pictures = append(pictures, picture{position, store.RemotePicture{URL: url, Alt: row.get(columnAlt...)}})
		}
		isVariant := n == 0 || row.get(columnSKU...) != "" || row.get(columnPrice...) != ""
		for o := 1; o <= 3; o++ {
			_, value := optionColumns(o)
			isVariant = isVariant || row.get(value) != ""
		}
		var v shop.VariantImport
		if isVariant {
			if v, err = shopifyVariant(row, rows[0], r); err != nil {
				return p, lineError{row.line, err}
			}
			if line := max(lines[v.Key], skus[v.SKU]); line > 0 {
				what := "options"
				if lines[v.Key] == 0 {
					what = "SKU"
				}
				r.refuse(row.line, fmt.Errorf("%s: the row has the %s of line %d, which stands", source, what, line))
				continue
			}
			if lines[v.Key] = row.line; v.SKU != "" {
				skus[v.SKU] = row.line
			}
		}
		for _, c := range row.cells {
			if known[c.name] || c.text == "" || c.name == "" {
				continue
			}
			r.keep(written[c.name])
			ofVariant := slices.ContainsFunc(columnsOfVariant, func(prefix string) bool { return strings.HasPrefix(c.name, prefix) })
			switch extra := (store.ExtraField{Name: written[c.name], Value: c.text}); {
			case ofVariant && isVariant:
				v.Extra = append(v.Extra, extra)
			case !extras[c.name+"\x00"+c.text]:
				extras[c.name+"\x00"+c.text] = true
				p.Extra = append(p.Extra, extra)
			}
		}
		if isVariant {
			p.Variants = append(p.Variants, v)
		}
	}
	slices.SortStableFunc(pictures, func(a, b picture) int { return a.position - b.position })
	for _, at := range pictures {
		p.Pictures = append(p.Pictures, at.RemotePicture)
	}
	return p, nil
}

// shopifyVariant reads the variant of a row. The names of options stand in the first row of the product.
func shopifyVariant(of, first row, r *Report) (shop.VariantImport, error) {
	v := shop.VariantImport{SKU: of.get(columnSKU...), Barcode: of.get(columnBarcode...)}
	var values []string
	for n := 1; n <= 3; n++ {
		nameColumn, valueColumn := optionColumns(n)
		name, value := first.get(nameColumn), of.get(valueColumn)
		if own := of.get(nameColumn); name == "" && own != "" {
			name = own
		}
		switch {
		case name == "" && value == "", name == "Title" && value == "Default Title":
			continue
		case name == "":
			return v, fmt.Errorf("option %d has the value %.100q and no name: the first row of the product names its options", n, value)
		case value == "":
			return v, fmt.Errorf("option %d, %.100q, has no value", n, name)
		}
		v.Options = append(v.Options, [2]string{name, value})
		values = append(values, strconv.Quote(value))
	}
	v.Key = strings.Join(values, " / ")
	if err := prices(&v, of.get(columnPrice...), of.get(columnCompareAt...), of.line, r); err != nil {
		return v, err
	}
	text := of.get(columnGrams...)
	grams, exact, err := whole(text)
	if err != nil {
		return v, fmt.Errorf("the weight in grams: %w", err)
	}
	if v.Grams = grams; !exact {
		r.keep("Variant Grams")
		v.Extra = append(v.Extra, store.ExtraField{Name: "Variant Grams", Value: text})
	}
	shipped, err := truth(of.get(columnShipping...), true)
	v.Digital = !shipped
	return v, err
}

// prices sets the prices of a variant. A compare-at price that means nothing is kept as a column.
func prices(v *shop.VariantImport, price, before string, line int, r *Report) error {
	for _, p := range []struct {
		name, text string
		to         *money.Decimal
	}{{"price", price, &v.Price}, {"compare-at price", before, &v.CompareAt}} {
		if p.text == "" {
			continue
		}
		d, err := money.ParseDecimal(p.text)
		if err != nil {
			return fmt.Errorf("the %s: %w", p.name, err)
		}
		*p.to = d
	}
	switch {
	case v.CompareAt == "":
	case v.Price == "":
		v.Extra = append(v.Extra, store.ExtraField{Name: "compare-at price", Value: string(v.CompareAt)})
		v.CompareAt = ""
		r.note(line, "a compare-at price without a price is kept as a column")
	case !less(v.Price, v.CompareAt):
		r.note(line, fmt.Sprintf("the compare-at price %s isn't above the price %s: no sale", v.CompareAt, v.Price))
	}
	return nil
}

// less compares two decimals that aren't negative. It is false for others.
func less(a, b money.Decimal) bool {
	x, y := string(a), string(b)
	if strings.HasPrefix(x, "-") || strings.HasPrefix(y, "-") {
		return false
	}
	wholeX, partX, _ := strings.Cut(x, ".")
	wholeY, partY, _ := strings.Cut(y, ".")
	before, after := max(len(wholeX), len(wholeY)), max(len(partX), len(partY))
	padded := func(whole, part string) string {
		return strings.Repeat("0", before-len(whole)) + whole + part + strings.Repeat("0", after-len(part))
	}
	return padded(wholeX, partX) < padded(wholeY, partY)
}

// whole reads a number rounded half up, and says if it was a whole one. "" is 0.
func whole(text string) (n int64, exact bool, err error) {
	if text == "" {
		return 0, true, nil
	}
	if _, err := money.ParseDecimal(text); err != nil || strings.HasPrefix(text, "-") {
		return 0, false, fmt.Errorf("%.40q is no number of at least 0, such as 180", text)
	}
	before, after, _ := strings.Cut(text, ".")
	if n, err = strconv.ParseInt(before, 10, 62); err != nil {
		return 0, false, fmt.Errorf("%.40q is too large", text)
	}
	if after != "" && after[0] >= '5' {
		n++
	}
	return n, strings.Trim(after, "0") == "", nil
}

// truth reads true or false, in any case; or empty.
func truth(text string, empty bool) (bool, error) {
	switch strings.ToLower(text) {
	case "":
		return empty, nil
	case "true", "yes", "1":
		return true, nil
	case "false", "no", "0":
		return false, nil
	}
	return false, fmt.Errorf("expected true or false, not %.40q", text)
}

// markdownOf returns Markdown with the meaning of HTML. HTML is Markdown, too, as long as it is one block
// without an empty line.
func markdownOf(html string) string {
	html = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(html)
	if html == "" || !strings.ContainsAny(html, "<&*_`[]#>|~\\\n") {
		return html
	}
	var lines []string
	empty := ""
	for line := range strings.SplitSeq(html, "\n") {
		if strings.TrimSpace(line) == "" {
			empty += line + "&#10;" // a line break that ends no block
			continue
		}
		lines, empty = append(lines, empty+line), ""
	}
	return "<div>\n" + strings.Join(lines, "\n") + "\n</div>"
}
