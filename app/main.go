package app

// The command line: sub-commands, help and exit codes. Entry point: Main.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/vektah/gqlparser/v2/formatter"

	"stoa/graph/generated"
	"stoa/importer"
	"stoa/problem"
	"stoa/store"
	"stoa/store/embedded"
)

// Main runs a sub-command and returns the exit code: 0 on success, 1 if the command failed, 2
// for a wrong command line or setting.
func Main(args []string, lookup func(string) (string, bool), out, errOut io.Writer) int {
	if asks(args, "help", "--help", "-h") { // also when a setting is wrong
		help(out)
		return 0
	}
	if asks(args, "version", "--version") {
		fmt.Fprintln(out, version())
		return 0
	}
	c, rest, err := Configure(args, lookup)
	if err != nil {
		fmt.Fprintln(errOut, "stoa:", err)
		return 2
	}
	command := "serve"
	if len(rest) > 0 {
		command, rest = rest[0], rest[1:]
	}
	ctx, stop := untilSignalled()
	defer stop()
	log := newLogger(c, errOut)
	switch command {
	case "serve":
		err = noArguments(command, rest)
		if err == nil {
			for _, warning := range c.Warnings() {
				log.Warn(warning)
			}
			err = serve(ctx, c, log)
		}
	case "import":
		err = runImport(ctx, c, log, rest, out, errOut)
	case "export":
		err = runExport(ctx, c, log, rest, out)
	case "admin":
		err = runAdmin(ctx, c, log, rest, out)
	case "purge":
		err = runPurge(ctx, c, log, rest, out)
	case "backup":
		err = runBackup(ctx, c, log, rest, out)
	case "restore":
		err = runRestore(ctx, c, log, rest)
	case "migrate":
		err = runMigrate(ctx, c, log, rest, out)
	case "schema":
		if err = noArguments(command, rest); err == nil {
			formatter.NewFormatter(out, formatter.WithIndent("  ")).FormatSchema(generated.NewExecutableSchema(generated.Config{}).Schema())
		}
	default:
		err = usage("there is no command %q: use serve, import, export, admin, purge, backup, restore, migrate, schema, version or --help", command)
	}
	return exitCode(err, errOut)
}

// untilSignalled returns a context that the first SIGINT or SIGTERM ends, for an orderly shutdown. A
// second one ends the process, from before ctx ends.
func untilSignalled() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		select {
		case <-signals:
		case <-ctx.Done():
		}
		signal.Stop(signals) // before cancel: from here on a signal has its usual effect
		cancel()
	}()
	return ctx, cancel
}

// asks says if the command line is one of words and nothing else, or has --help.
func asks(args []string, words ...string) bool {
	return len(args) == 1 && slices.Contains(words, args[0]) ||
		slices.Contains(words, "--help") && slices.Contains(args, "--help")
}

// misuse is a mistake on the command line.
type misuse struct{ error }

func usage(format string, args ...any) error { return misuse{fmt.Errorf(format, args...)} }

func noArguments(command string, rest []string) error {
	if len(rest) > 0 {
		return usage("%s takes no %q", command, strings.Join(rest, " "))
	}
	return nil
}

// errFailed says that a command has already printed its failure.
var errFailed = errors.New("failed")

func exitCode(err error, errOut io.Writer) int {
	var wrong misuse
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errFailed):
		return 1
	case errors.As(err, &wrong):
		fmt.Fprintln(errOut, "stoa:", err)
		return 2
	default:
		fmt.Fprintln(errOut, "stoa:", err)
		return 1
	}
}

// serve runs a replica until ctx ends.
func serve(ctx context.Context, c Config, log *slog.Logger) (err error) {
	began := time.Now()
	limitMemory(log)
	a, err := Open(ctx, c, log, nil)
	if err != nil {
		return err
	}
	defer func() {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainLimit)
		defer cancel()
		a.Close(limited)
		if err == nil {
			log.Info("stopped")
		}
	}()
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("STOA_LISTEN: %w", err)
	}
	if a.embedded != nil && c.Demo && !c.Production {
		n, err := a.FillDemo(ctx)
		if err != nil {
			return fmt.Errorf("fill the empty database with the demo: %w", err)
		}
		if n > 0 {
			log.Info("filled the empty database with the demo; STOA_DEMO=off leaves it empty", "articles", n)
		}
	}
	if c.Production && c.SMTPURL == "" {
		log.Warn("STOA_SMTP_URL isn't set: mails wait, a day at most, so that nobody can register or reset a password")
	}
	where := "the embedded database in " + c.Data
	if c.MongoDBURI != "" {
		where = "MongoDB"
	}
	log.Info("ready", "url", address(l), "database", where, "redis", a.redis != nil, "took", time.Since(began).Round(time.Millisecond).String())
	return a.Serve(ctx, l)
}

// address returns the address at which a browser on this machine reaches l.
func address(l net.Listener) string {
	host, port, _ := net.SplitHostPort(l.Addr().String())
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() || ip.IsLoopback() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port) + "/"
}

// runImport imports a folder into the database. If a server runs on the same data folder, it
// goes through that server.
func runImport(ctx context.Context, c Config, log *slog.Logger, args []string, out, errOut io.Writer) error {
	if len(args) > 0 && (args[0] == "shopify" || args[0] == "products") {
		return runCatalogue(ctx, c, log, args[0], args[1:], out, errOut)
	}
	if len(args) > 0 && args[0] == "articles" {
		return runArticles(ctx, c, log, args[1:], out, errOut)
	}
	args, dry := without(args, "--dry-run")
	args, list := without(args, "--list")
	words, noMedia := without(args, "--no-media")
	if len(words) != 2 || words[0] != "markdown" {
		return usage("use: import markdown DIR [--dry-run] [--list] [--no-media], import shopify FILE.csv, or import products FILE.jsonl --mapping FILE")
	}
	dir := words[1]
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return usage("import markdown takes a folder; there is none at %q", dir)
	}
	a, done, err := openForImport(ctx, c, log, dry)
	if err != nil {
		return err
	}
	defer done()
	report, err := importFolder(ctx, a, dir, dry, !noMedia, errOut)
	return tell(report, list, out, err)
}

// without returns args without a flag, and whether it was there.
func without(args []string, flag string) (rest []string, given bool) {
	rest = slices.DeleteFunc(slices.Clone(args), func(arg string) bool { return arg == flag })
	return rest, len(rest) < len(args)
}

// tell writes the report of an import that ended with err, with each remark if list is set. Something that
// failed by itself is errFailed.
func tell(report importer.Report, list bool, out io.Writer, err error) error {
	if list {
		err = errors.Join(err, report.List(out))
	}
	err = errors.Join(err, report.Table(out))
	if err == nil && report.Failed > 0 {
		return errFailed
	}
	return err
}

// openForImport is openForCommand for an import. A dry run doesn't create a missing database. done closes
// it.
func openForImport(ctx context.Context, c Config, log *slog.Logger, dry bool) (a *App, done func(), err error) {
	nothing := ""
	if _, err := os.Stat(c.Data); dry && c.MongoDBURI == "" && errors.Is(err, fs.ErrNotExist) {
		if nothing, err = os.MkdirTemp("", "stoa"); err != nil {
			return nil, nil, err
		}
		c.Data = nothing
	}
	remove := func() {
		if nothing != "" {
			_ = os.RemoveAll(nothing)
		}
	}
	if a, err = openForCommand(ctx, c, log); err != nil {
		remove()
		return nil, nil, err
	}
	return a, func() {
		a.Close(context.WithoutCancel(ctx))
		remove()
	}, nil
}

// runAdmin gives the account with an address the role ADMIN.
func runAdmin(ctx context.Context, c Config, log *slog.Logger, args []string, out io.Writer) error {
	if len(args) != 1 {
		return usage("use: admin EMAIL")
	}
	a, err := openForCommand(ctx, c, log)
	if err != nil {
		return err
	}
	defer a.Close(context.WithoutCancel(ctx))
	code, err := a.AccountService.MakeAdmin(ctx, args[0])
	var refused *problem.Error
	if errors.As(err, &refused) {
		return usage("admin: %s", refused.Message)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s is an administrator\n", args[0])
	if code == "" {
		return nil
	}
	_, err = fmt.Fprintf(out, `
The account is new. Within 24 hours, set its password where the front end has its page for it:

  %s

or with this mutation, the password in a variable:

  mutation($password: String!) { passwordReset(input: {token: "%s", password: $password}) { userErrors { message } } }
`, a.mailer.ResetLink(code), code)
	return err
}

// runPurge makes every replica drop the cached entries that depend on tags.
func runPurge(ctx context.Context, c Config, log *slog.Logger, tags []string, out io.Writer) error {
	if len(tags) == 0 {
		return usage("use: purge TAG...")
	}
	a, err := openForCommand(ctx, c, log)
	if err != nil {
		return err
	}
	defer a.Close(context.WithoutCancel(ctx))
	err = a.Store.Purge(ctx, tags)
	var refused *problem.Error
	if errors.As(err, &refused) {
		return usage("purge: %s", refused.Message)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "forgotten: what depends on %s\n", strings.Join(tags, ", "))
	return err
}

// openForCommand opens the database for a command that ends. If a server has the data folder
// open, it goes through that server. It publishes nothing on schedule.
func openForCommand(ctx context.Context, c Config, log *slog.Logger) (*App, error) {
	if c.MongoDBURI == "" {
		uri, running, err := embedded.Find(c.Data)
		if err != nil {
			return nil, err
		}
		if running {
			log.Info("a server is running on this data folder: working through it", "data", c.Data)
			return attach(ctx, c, log, uri)
		}
	}
	return openQuietly(ctx, c, log, nil)
}

// importFolder imports dir, with its pictures if media is true, and reports the result of every file
// in it.
func importFolder(ctx context.Context, a *App, dir string, dry, media bool, progress io.Writer) (importer.Report, error) {
	name, err := importer.Identity(dir)
	if err != nil {
		return importer.Report{}, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return importer.Report{}, fmt.Errorf("open the folder: %w", err)
	}
	defer root.Close()
	top, at, err := importer.FindSite(dir)
	if err != nil {
		return importer.Report{}, fmt.Errorf("look for the site of the folder: %w", err)
	}
	site, err := os.OpenRoot(top)
	if err != nil {
		return importer.Report{}, fmt.Errorf("open the site of the folder: %w", err)
	}
	defer site.Close()
	importing, err := a.Blog.BeginImport(ctx, dry)
	if err != nil {
		return importer.Report{}, err
	}
	o := importer.Options{FS: root.FS(), Name: name, Site: site.FS(), At: at, DryRun: dry, Import: importing.Add, Reserve: importing.Reserve, Out: progress}
	if media {
		o.Picture = func(ctx context.Context, file io.ReadSeeker, alt string) (*store.Image, string, error) {
			return a.Pictures.Import(ctx, file, alt, dry)
		}
	}
	report, err := importer.Markdown(ctx, o)
	if err != nil {
		return report, err
	}
	return report, importing.Finish(ctx)
}

// version returns the module's version and its commit, if they are known.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "stoa (unknown)"
	}
	text := "stoa " + info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			text += " " + s.Value[:min(12, len(s.Value))]
		}
	}
	return text + " " + info.GoVersion
}

// help prints the commands, and the settings with their defaults.
func help(out io.Writer) {
	fmt.Fprint(out, `Stoa serves articles over GraphQL out of MongoDB, or out of a database of its own.

  stoa [serve]                         serve; http://localhost:8080/ is the playground
  stoa import markdown DIR             import a folder of Markdown with front matter
                                       (Hugo, Jekyll, Zola, Hashnode); it may be repeated,
                                       also while a server runs on the same data folder.
                                       --dry-run changes nothing, --list reports every
                                       file, --no-media leaves pictures where they are.
                                       A folder is recognised by its name: two of one name
                                       count as the same
  stoa import shopify FILE.csv         import products from a product CSV of Shopify
  stoa import products FILE.jsonl      import products from an export of this program, or
                                       with --mapping FILE from JSON Lines of another shop;
                                       docs/import.md describes the formats. Both may be
                                       repeated, also while a server runs. --dry-run changes
                                       nothing, --list reports every remark
  stoa export articles|products        write all of them as JSON Lines to standard output
  stoa import articles FILE.jsonl      import such an export of articles, without comments
  stoa admin EMAIL                     give the account with this address the role ADMIN,
                                       and create it if there is none; also while a
                                       server runs on the same data folder
  stoa purge TAG...                    drop the cached entries that depend on tags, on every
                                       replica: ids, and list names from Cache-Tag headers
  stoa backup FILE                     write everything in the data folder into a tar file,
                                       pictures as well; also while a server runs on it;
                                       - is standard output
  stoa restore FILE                    put a backup into a data folder that has no database
                                       in it; - is standard input
  stoa migrate                         bring the database to the format of this version; a
                                       server does so by itself while it serves.
                                       --dry-run only lists the pending migrations
  stoa schema                          print the schema
  stoa version                         print the version

Every setting is an environment variable, and a flag: STOA_LISTEN is --listen.

`)
	for _, v := range variables {
		fallback := v.fallback
		if fallback == "" {
			fallback = "unset"
		}
		fmt.Fprintf(out, "  %s (%s)\n", v.name, fallback)
		fmt.Fprintf(out, "      takes %s\n", v.takes)
		for _, line := range wrap(v.about, 80) {
			fmt.Fprintf(out, "      %s\n", line)
		}
	}
	fmt.Fprint(out, "\nExit codes: 0 done, 1 failed, 2 wrong command line or setting.\n")
}

// wrap breaks text into lines of at most width characters.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
