package process

// Imports and exports of products and articles by the binary: while a server runs, killed, repeated.

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"stoa/tests/stoatest"
)

var rowLine = regexp.MustCompile(`(?m)^  (created|changed|unchanged|merged|refused|not reached) +(\d+)$`)

// rows is the table at the end of an import of products.
func (p *process) rows(t *testing.T) map[string]int {
	t.Helper()
	out := map[string]int{}
	for _, line := range rowLine.FindAllStringSubmatch(p.stdout.String(), -1) {
		if n, _ := strconv.Atoi(line[2]); n > 0 {
			out[line[1]] = n
		}
	}
	return out
}

// priceList writes a product CSV of n products with two variants each.
func priceList(t *testing.T, n int) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("Handle,Title,Vendor,Published,Option1 Name,Option1 Value,Variant Price\n")
	for i := range n {
		fmt.Fprintf(&b, "kite-%d,Kite,Wind,true,Size,S,8.28\nkite-%d,,,,,M,9.99\n", i, i)
	}
	path := filepath.Join(t.TempDir(), "list.csv")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAnImportOfProductsThatIsKilledCanBeRepeatedWhileAServerRuns(t *testing.T) {
	t.Parallel()
	const n = 1500
	data, list := t.TempDir(), priceList(t, n)
	p := serve(t, environ{"STOA_DATA": data, "STOA_DEMO": "off"})
	count := func() int {
		var out struct {
			Products struct{ Count struct{ Value int } }
		}
		p.Data(t, &out, `{ products { count(max: 10000) { value } } }`, nil)
		return out.Products.Count.Value
	}
	importing := launch(t, environ{"STOA_DATA": data}, "import", "shopify", list)
	stoatest.Await(t, 20*time.Second, "some products", func() bool { return count() > 5 })
	importing.kill(t)
	stored := count()
	t.Logf("%d of %d products were there when it was killed", stored, n)
	again := run(t, environ{"STOA_DATA": data}, "import", "shopify", list)
	if rows := again.rows(t); again.exitCode(t) != 0 || rows["created"]+rows["unchanged"] != 2*n || rows["unchanged"] < 2*stored {
		t.Errorf("after %d products: exit code %d, %v\n%s", stored, again.exitCode(t), rows, again.stderr)
	}
	if got := count(); got != n {
		t.Errorf("there are %d products, want %d", got, n)
	}
	last := run(t, environ{"STOA_DATA": data}, "import", "shopify", list, "--dry-run")
	if rows := last.rows(t); last.exitCode(t) != 0 || rows["unchanged"] != 2*n || !strings.Contains(last.stdout.String(), "nothing was written") {
		t.Errorf("a third time: exit code %d, %v\n%s", last.exitCode(t), rows, last.stderr)
	}
	var out struct {
		Product struct {
			Variants []struct{ Price struct{ Amount string } }
		}
	}
	p.Data(t, &out, `{ product(slug: "kite-7") { variants { price { amount } } } }`, nil)
	if fmt.Sprint(out.Product.Variants) != "[{{8.28}} {{9.99}}]" {
		t.Errorf("the prices are %v", out.Product.Variants)
	}
}

func TestExportedProductsAreImportedIntoAnEmptyDatabaseAndExportedEqually(t *testing.T) {
	t.Parallel()
	first, second := environ{"STOA_DATA": t.TempDir()}, environ{"STOA_DATA": t.TempDir()}
	if p := run(t, first, "import", "shopify", priceList(t, 120)); p.exitCode(t) != 0 {
		t.Fatalf("exit code %d\n%s", p.exitCode(t), p.stderr)
	}
	exported := run(t, first, "export", "products")
	text := exported.stdout.String()
	if exported.exitCode(t) != 0 || strings.Count(text, "\n") != 120 {
		t.Fatalf("exit code %d, %d lines\n%s", exported.exitCode(t), strings.Count(text, "\n"), exported.stderr)
	}
	file := filepath.Join(t.TempDir(), "products.jsonl")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if p := run(t, second, "import", "products", file); p.exitCode(t) != 0 || p.rows(t)["created"] != 120 {
		t.Fatalf("exit code %d, %v\n%s", p.exitCode(t), p.rows(t), p.stderr)
	}
	if again := run(t, second, "export", "products"); again.stdout.String() != text {
		t.Error("the second export differs from the first")
	}
}

func TestAMistakeInTheCommandOfAnImportOfProductsIsTold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mapping := filepath.Join(dir, "m.yaml")
	if err := os.WriteFile(mapping, []byte("source: a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   []string
		reason string
	}{
		{[]string{"import", "shopify"}, "import shopify FILE.csv"},
		{[]string{"import", "shopify", filepath.Join(dir, "none.csv")}, "none.csv"},
		{[]string{"import", "shopify", dir}, "takes a file"},
		{[]string{"import", "products", mapping, "--mapping", mapping}, "identity"},
		{[]string{"import", "products", mapping, "--mapping"}, "takes a file"},
		{[]string{"export", "everything"}, "export articles, or export products"},
	} {
		p := run(t, environ{"STOA_DATA": filepath.Join(dir, "data")}, c.args...)
		if p.exitCode(t) != 2 || !strings.Contains(p.stderr.String(), c.reason) {
			t.Errorf("%v: exit code %d\n%s", c.args, p.exitCode(t), p.stderr)
		}
	}
}

func TestExportedArticlesAreImportedIntoAnEmptyDatabaseAndExportedEqually(t *testing.T) {
	t.Parallel()
	folder, first, second := notebook(t), t.TempDir(), t.TempDir()
	importInto(t, first, folder, 0, ofNotebook)
	text := run(t, environ{"STOA_DATA": first}, "export", "articles").succeed(t)
	if strings.Count(text, "\n") != ofNotebook.Created {
		t.Fatalf("exported are %d lines", strings.Count(text, "\n"))
	}
	file := filepath.Join(t.TempDir(), "articles.jsonl")
	if err := os.WriteFile(file, []byte(text+"{\"source\": 1}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	restore := func(data string, want counts) {
		t.Helper()
		p := run(t, environ{"STOA_DATA": data}, "import", "articles", file)
		if got := p.counts(t); p.exitCode(t) != 1 || got != want || !strings.Contains(p.stdout.String(), "articles.jsonl:9: the row isn't a line of an export") {
			t.Errorf("exit code %d, %+v\n%s%s", p.exitCode(t), got, p.stdout, p.stderr)
		}
	}
	restore(second, counts{Created: 8, Failed: 1})
	if run(t, environ{"STOA_DATA": second}, "export", "articles").succeed(t) != text {
		t.Error("the second export differs from the first")
	}
	restore(first, counts{Unchanged: 8, Failed: 1})
	importInto(t, second, folder, 0, counts{Unchanged: 8, Skipped: 2}) // the files are known by their sources
}

// succeed returns the output of a command that must succeed.
func (p *process) succeed(t *testing.T) string {
	t.Helper()
	if code := p.exitCode(t); code != 0 {
		t.Fatalf("exit code %d\n%s", code, p.stderr)
	}
	return p.stdout.String()
}
