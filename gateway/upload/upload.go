// Package upload is the step of a request that brings files, by the GraphQL multipart request
// specification (github.com/jaydenseric/graphql-multipart-request-spec). A body has the envelope first,
// then a map of its files to variables, then the files. All that can be refused is refused before a
// file is read.
//
// IsMultipart tells such a request, Uploads.Respond answers it. It may import access, since only
// signed-in viewers may send files, operation, envelope, refusal, id and problem.
package upload

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/99designs/gqlgen/graphql"

	"stoa/access"
	"stoa/gateway/envelope"
	"stoa/gateway/operation"
	"stoa/gateway/refusal"
	"stoa/id"
	"stoa/problem"
)

const (
	formData = "multipart/form-data"

	// maxFiles is how many files one request may have.
	maxFiles = 10

	// maxMap is the size of the map in bytes: room for ten paths of some kilobytes.
	maxMap = 64 << 10

	// partHeader bounds the bytes between the contents of two parts: a boundary, and the part's
	// headers. Browsers send two headers. Bytes that are read ahead count.
	partHeader = 16 << 10

	// inMemory is how much of a file stays in memory; a larger one goes to a file of its own.
	inMemory = 1 << 20

	// uploadWork multiplies the time limit of a request with files, counted from the arrival of the
	// files: processing pictures takes long and waits for other pictures.
	uploadWork = 3

	// maxUploads bounds the multipart requests read at once, and so their memory to 64 MiB and
	// their disk space to 2.5 GiB; of one account at most maxUploadsOfOne.
	maxUploads      = 64
	maxUploadsOfOne = 4
)

// preflights are headers that a page of another origin can't send without asking first. One
// must be there: a form can send everything else.
var preflights = []string{"Apollo-Require-Preflight", "GraphQL-Preflight", "GraphQL-Require-Preflight", "X-Apollo-Operation-Name", "X-Requested-With"}

// IsMultipart says whether r says that its body is multipart/form-data.
func IsMultipart(r *http.Request) bool {
	if r.Method != http.MethodPost {
		return false
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return kind == formData
}

// Options tell Uploads their pipeline and limits.
type Options struct {
	Pipeline *operation.Pipeline

	MaxBody  int64         // of the envelope, in bytes
	MaxFile  int64         // of one file, in bytes
	Arrival  time.Duration // how long a whole body may take to arrive
	Response time.Duration // how long a request without files may take
}

// Uploads answers multipart requests. It is safe for concurrent use.
type Uploads struct {
	pipeline *operation.Pipeline
	maxBody  int64
	maxFile  int64
	arrival  time.Duration
	work     time.Duration // once the files are there

	mu    sync.Mutex
	all   int           // requests that are being read
	under map[id.ID]int // of them, by account
}

// New returns Uploads with these options.
func New(o Options) *Uploads {
	return &Uploads{pipeline: o.Pipeline, maxBody: o.MaxBody, maxFile: o.MaxFile, arrival: o.Arrival, work: uploadWork * o.Response, under: map[id.ID]int{}}
}

// Timeout returns how long a multipart request may take in all.
func (u *Uploads) Timeout() time.Duration { return u.arrival + u.work }

// Respond executes the operation of r. ctx is one of Pipeline.Begin.
func (u *Uploads) Respond(ctx context.Context, w http.ResponseWriter, r *http.Request) (*graphql.Response, error) {
	// May its body be read at all?
	boundary, err := checkForm(r.Header)
	if err != nil {
		return nil, err
	}
	leave, err := u.admit(ctx)
	if err != nil {
		return nil, refusal.WithHeader(err, "Connection", "close")
	}
	defer leave()
	if r.ContentLength > u.maxForm() {
		return nil, formTooLarge(u.maxForm())
	}

	// Is it an operation that the viewer may run?
	connection := http.NewResponseController(w)
	if connection.SetReadDeadline(time.Now().Add(u.arrival)) == nil {
		defer func() { _ = connection.SetReadDeadline(time.Time{}) }()
	}
	form := newForm(http.MaxBytesReader(w, r.Body, u.maxForm()), boundary, u.maxBody, u.maxFile)
	defer form.close()
	asked, err := form.envelope(func(body []byte) (*envelope.Envelope, error) { return u.pipeline.Parse(ctx, body) })
	if err != nil {
		return nil, u.late(err)
	}
	prepared, err := u.pipeline.Prepare(ctx, asked, func(o *ast.OperationDefinition) error { return operation.CheckMethod(r.Method, o) })
	if err != nil {
		return nil, refusal.WithHeader(err, "Connection", "close")
	}
	if err := authorise(ctx, prepared.Operation); err != nil {
		return nil, refusal.WithHeader(err, "Connection", "close")
	}

	if err := form.readFiles(); err != nil {
		return nil, u.late(err)
	}
	ctx, cancel := operation.WithTimeout(ctx, time.Now(), u.work)
	defer cancel()
	return u.pipeline.Execute(ctx, prepared)
}

// checkForm refuses a form that a browser could send without asking for permission first.
func checkForm(h http.Header) (boundary string, err error) {
	if !slices.ContainsFunc(preflights, func(name string) bool { return h.Get(name) != "" }) {
		return "", refusal.New(refusal.UnsupportedMedia, "a multipart request needs a header that pages of other sites can't send unasked, such as Apollo-Require-Preflight: 1").With("Connection", "close")
	}
	_, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if boundary = params["boundary"]; err != nil || boundary == "" || len(boundary) > 70 || len(h.Values("Content-Type")) != 1 { // RFC 2046, section 5.1.1
		return "", refusal.New(refusal.UnsupportedMedia, "Content-Type must be multipart/form-data with a boundary of at most 70 characters").With("Connection", "close")
	}
	if coding := h.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return "", refusal.New(refusal.UnsupportedMedia, "Content-Encoding %.40q isn't taken: send the body uncompressed", coding).With("Connection", "close")
	}
	return boundary, nil
}

// maxForm is the size of a whole body.
func (u *Uploads) maxForm() int64 {
	return 2*u.maxFile + u.maxBody + maxMap + (maxFiles+3)*partHeader
}

func formTooLarge(limit int64) error {
	return refusal.New(refusal.PayloadTooLarge, "the body is larger than the %d bytes that are taken, files included", limit).With("Connection", "close")
}

// late completes the refusal of a body that didn't come in time.
func (u *Uploads) late(err error) error {
	if refusal.Code(err) == refusal.RequestTimeout {
		return refusal.New(refusal.RequestTimeout, "the body didn't arrive within %s", u.arrival).With("Connection", "close")
	}
	return refusal.WithHeader(err, "Connection", "close")
}

// admit lets in a signed-in viewer, so many requests at once. Nobody else makes us read files.
func (u *Uploads) admit(ctx context.Context) (leave func(), err error) {
	viewer, err := access.ViewerFrom(ctx)
	if err != nil {
		return nil, err
	}
	if !viewer.SignedIn() {
		return nil, refusal.New(refusal.Unauthenticated, "sign in first: files are taken with a session that hasn't ended").With("WWW-Authenticate", "Bearer")
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.all >= maxUploads || u.under[viewer.Account] >= maxUploadsOfOne {
		return nil, refusal.New(refusal.Throttled, "too many files are being sent at this moment, %d requests at once by one account at most: try again in a few seconds", maxUploadsOfOne).With("Retry-After", "5")
	}
	u.all++
	u.under[viewer.Account]++
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.all--
		if u.under[viewer.Account]--; u.under[viewer.Account] == 0 {
			delete(u.under, viewer.Account)
		}
	}, nil
}

// authorise refuses an operation whose files needn't be read: one of its fields takes a role that the
// viewer doesn't have. A field in a fragment is refused later.
func authorise(ctx context.Context, operation *ast.OperationDefinition) error {
	for _, selection := range operation.SelectionSet {
		field, ok := selection.(*ast.Field)
		if !ok || field.Definition == nil {
			continue
		}
		directive := field.Definition.Directives.ForName("auth")
		if directive == nil {
			continue
		}
		requires := directive.Arguments.ForName("requires")
		if requires == nil {
			continue
		}
		_, err := access.Require(ctx, access.Role(requires.Value.Raw))
		if err == nil {
			continue
		}
		var refused *problem.Error
		if !errors.As(err, &refused) {
			return err
		}
		return refusal.New(string(refused.Code), "%s", refused.Message).At(field.Position)
	}
	return nil
}
