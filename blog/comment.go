package blog

// Comments on articles: adding, changing, deleting and moderating them. Entry points: NewComments
// and the methods of Comments.

import (
	"context"
	"errors"
	"fmt"
	"time"

	"stoa/access"
	"stoa/blog/markdown"
	"stoa/edit"
	"stoa/id"
	"stoa/problem"
	"stoa/rate"
	"stoa/store"
)

const (
	// MaxDepth is the deepest level of a thread of comments; an answer below it is refused. A phone
	// has no room for more.
	MaxDepth = 5

	// editFor is the time in which an author can change a comment. It is enough for a slip of the
	// pen, but too short to take back words after others have answered.
	editFor = 15 * time.Minute
)

// Rate limits of comments: of each account, and of all accounts of one client together. Every
// request looks into the database, with any outcome, so requests have a limit of their own.
var (
	addByAccount   = rate.Limit{Burst: 5, Per: 30 * time.Second}
	addByClient    = rate.Limit{Burst: 20, Per: 10 * time.Second}
	askByAccount   = rate.Limit{Burst: 60, Per: time.Second}
	changeByAuthor = rate.Limit{Burst: 20, Per: 5 * time.Second}
)

// CommentOptions are the services and settings that Comments needs.
type CommentOptions struct {
	Store   *store.Store
	Limiter *rate.Limiter
	// Moderated makes comments of readers wait for the approval of an editor. Comments of authors
	// and editors appear at once.
	Moderated bool
}

// Comments is the domain of comments on articles. It is safe for concurrent use.
type Comments struct {
	store     *store.Store
	limiter   *rate.Limiter
	markdown  *markdown.Renderer
	moderated bool
	comments  *edit.Kind[store.Comment]
}

// NewComments returns the comments in o.Store.
func NewComments(o CommentOptions) *Comments {
	c := &Comments{store: o.Store, limiter: o.Limiter, markdown: markdown.New(), moderated: o.Moderated}
	c.comments = c.commentKind()
	return c
}

// CommentAdd is the input of Add.
type CommentAdd struct {
	ArticleID      id.ID
	ParentID       *id.ID // the comment it answers; nil for the article itself
	BodyMarkdown   string
	IdempotencyKey *string
}

// Add creates a comment of the viewer's. It returns NotFound if the article isn't public or the
// parent isn't shown under it, Invalid if the parent is at the deepest level or the text breaks a
// rule, and Throttled if the viewer or the client comments too often.
func (c *Comments) Add(ctx context.Context, in CommentAdd) (*store.Submission, error) {
	v, err := access.Require(ctx, access.Customer)
	if err != nil {
		return nil, err
	}
	canonical, err := markdown.Canonical(in.BodyMarkdown)
	if err != nil {
		return nil, refusedText(err, "bodyMarkdown")
	}
	if err := store.CheckKey(in.IdempotencyKey); err != nil {
		return nil, err
	}
	if err := c.throttle(ctx, rate.Use{Key: "comment/ask/" + string(v.Account), Limit: askByAccount, Cost: 1}); err != nil {
		return nil, err
	}
	made := &store.Comment{ArticleID: in.ArticleID, AccountID: v.Account, BodyMarkdown: canonical, Version: 1}
	if in.ParentID != nil {
		made.ParentID = commentOf(*in.ParentID)
	}
	origin, err := edit.Begin(ctx, c.store, string(v.Account), "commentAdd", in.IdempotencyKey,
		[]string{string(made.ArticleID), string(made.ParentID), canonical})
	if err != nil {
		return nil, err
	}
	made.ID, made.CreatedAt = origin.ID(id.Comment), origin.At
	if origin.Repeatable() {
		there, err := c.store.CommentNow(ctx, made.ID)
		if !problem.Is(err, problem.NotFound) {
			return (*store.Submission)(there), err
		}
	}
	if err := c.checkParent(ctx, made); err != nil {
		return nil, err
	}
	if made.AuthorName, err = c.nameOf(ctx, v); err != nil {
		return nil, err
	}
	if err := c.throttle(ctx,
		rate.Use{Key: "comment/account/" + string(v.Account), Limit: addByAccount, Cost: 1},
		rate.Use{Key: "comment/client/" + access.ClientFrom(ctx).RateKey(), Limit: addByClient, Cost: 1},
	); err != nil {
		return nil, err
	}
	if _, made.BodyHTML, err = c.markdown.Comment(ctx, canonical); err != nil {
		return nil, refusedText(err, "bodyMarkdown")
	}
	made.Status = c.begins(v)
	made.Visible = made.Status == store.CommentVisible
	there, err := c.store.AddComment(ctx, made)
	return (*store.Submission)(there), err
}

// checkParent checks that a comment can be added to its article, or under its parent.
func (c *Comments) checkParent(ctx context.Context, made *store.Comment) error {
	articles, err := store.Articles.All(ctx, c.store, []id.ID{made.ArticleID})
	if err != nil {
		return err
	}
	if articles[0] == nil {
		return problem.New(problem.NotFound, "there is no such article").At("articleId")
	}
	if made.ParentID == "" {
		return nil
	}
	parents, err := c.store.ShownComments(ctx, []id.ID{made.ParentID}, c.store.Children)
	if err != nil {
		return err
	}
	if parents[0] == nil || parents[0].ArticleID != made.ArticleID {
		return problem.New(problem.NotFound, "the article has no such comment").At("parentId")
	}
	thread, err := c.store.Children(ctx, []store.ChildrenKey{store.ChildrenKey(made.ArticleID)})
	if err != nil {
		return err
	}
	depth, err := c.store.Depth(ctx, parents[0], thread[0])
	switch {
	case err != nil:
		return err
	case parents[0].IsDeleted():
		return problem.New(problem.Conflict, "the comment has been deleted: nothing is left to answer").At("parentId")
	case depth >= MaxDepth:
		return problem.New(problem.Invalid, "threads are at most %d deep: answer a comment further up", MaxDepth).At("parentId")
	}
	return nil
}

// begins returns the first status of a comment by v.
func (c *Comments) begins(v access.Viewer) store.CommentStatus {
	if c.moderated && !v.May(access.Author) {
		return store.CommentPending
	}
	return store.CommentVisible
}

// nameOf returns the name of the viewer's account; Unauthenticated if the account has gone.
func (c *Comments) nameOf(ctx context.Context, v access.Viewer) (string, error) {
	found, err := store.Accounts.For(ctx, c.store, []id.ID{v.Account})
	if err != nil {
		return "", err
	}
	if found[0] == nil {
		return "", problem.New(problem.Unauthenticated, "sign in first: this account is no longer there")
	}
	return found[0].Name, nil
}

// Added follows the comments that are shown under an article; NotFound if the article isn't public.
// See store.Follow.
func (c *Comments) Added(ctx context.Context, article id.ID, after *id.ID) (*store.Following, error) {
	return c.store.CommentsAdded(ctx, article, after)
}

// CommentUpdate is the input of Update.
type CommentUpdate struct {
	ID              id.ID
	BodyMarkdown    string
	ExpectedVersion *int64 // nil for any
}

// Update changes the words of a comment of the viewer's, in the first 15 minutes. If comments wait
// for an editor, it waits once more.
func (c *Comments) Update(ctx context.Context, in CommentUpdate) (*store.Submission, error) {
	v, err := access.Require(ctx, access.Customer)
	if err != nil {
		return nil, err
	}
	if err := c.throttle(ctx, rate.Use{Key: "comment/change/" + string(v.Account), Limit: changeByAuthor, Cost: 1}); err != nil {
		return nil, err
	}
	canonical, html, err := c.markdown.Comment(ctx, in.BodyMarkdown)
	if err != nil {
		return nil, refusedText(err, "bodyMarkdown")
	}
	return c.change(ctx, edit.Change[store.Comment]{ID: in.ID, Expected: in.ExpectedVersion, May: mayReword,
		Apply: func(_ context.Context, v access.Viewer, x *store.Comment) error {
			if x.BodyMarkdown == canonical {
				return nil
			}
			x.BodyMarkdown, x.BodyHTML, x.EditedAt = canonical, html, new(store.Now())
			if x.Status = x.State(); c.begins(v) == store.CommentPending { // comments from before statuses get one
				x.Status, x.Visible = store.CommentPending, false
			}
			return nil
		},
	})
}

// mayReword returns the reason why v can't change the words of x, or nil.
func mayReword(v access.Viewer, x *store.Comment) error {
	switch {
	case !v.Is(x.AccountID):
		return problem.New(problem.Forbidden, "only who wrote a comment can change it").At("id")
	case x.IsDeleted():
		return problem.New(problem.Conflict, "the comment has been deleted").At("id")
	case x.State() == store.CommentHidden || x.State() == store.CommentSpam:
		return problem.New(problem.Forbidden, "an editor has taken the comment down").At("id")
	case !store.Now().Before(editableUntil(x.CreatedAt)):
		return problem.New(problem.Forbidden, "a comment can be changed for %d minutes", int(editFor.Minutes())).At("id")
	}
	return nil
}

// CommentDelete is the input of Delete.
type CommentDelete struct{ ID id.ID }

// Delete deletes a comment, for its author and for editors: its words and name are gone for good.
// Its place stays as long as an answer to it is shown.
func (c *Comments) Delete(ctx context.Context, in CommentDelete) (*store.Submission, error) {
	return c.change(ctx, edit.Change[store.Comment]{ID: in.ID,
		May: func(v access.Viewer, x *store.Comment) error {
			if v.Is(x.AccountID) || v.May(access.Editor) {
				return nil
			}
			return problem.New(problem.Forbidden, "only who wrote a comment, or an editor, can delete it").At("id")
		},
		Apply: func(_ context.Context, _ access.Viewer, x *store.Comment) error {
			if !x.IsDeleted() {
				// A comment without a place in its thread gets none by being deleted.
				x.Status, x.AuthorName, x.BodyMarkdown, x.BodyHTML = store.CommentDeleted, "", "", ""
			}
			return nil
		},
	})
}

// Verdict is an editor's decision on a comment.
type Verdict string

// The verdicts.
const (
	Approve Verdict = "APPROVE"
	Hide    Verdict = "HIDE"
	Spam    Verdict = "SPAM"
)

var becomes = map[Verdict]store.CommentStatus{
	Approve: store.CommentVisible, Hide: store.CommentHidden, Spam: store.CommentSpam,
}

// CommentModerate is the input of Moderate.
type CommentModerate struct {
	ID              id.ID
	Action          Verdict
	ExpectedVersion *int64 // nil for any
}

// Moderate shows or hides a comment, for editors. Its answers are shown or hidden with it.
func (c *Comments) Moderate(ctx context.Context, in CommentModerate) (*store.Submission, error) {
	if _, err := access.Require(ctx, access.Editor); err != nil {
		return nil, err
	}
	return c.change(ctx, edit.Change[store.Comment]{ID: in.ID, Expected: in.ExpectedVersion,
		May: func(_ access.Viewer, x *store.Comment) error {
			if x.IsDeleted() {
				return problem.New(problem.Conflict, "the comment has been deleted").At("id")
			}
			return nil
		},
		Apply: func(_ context.Context, _ access.Viewer, x *store.Comment) error {
			if x.State() != becomes[in.Action] {
				x.Status = becomes[in.Action]
				x.Visible = x.Status == store.CommentVisible
			}
			return nil
		},
	})
}

// commentKind describes comments to package edit, for changes.
func (c *Comments) commentKind() *edit.Kind[store.Comment] {
	return &edit.Kind[store.Comment]{
		ID: id.Comment, Name: "comment", Role: access.Customer, Store: c.store,
		Fields: func(x *store.Comment) edit.Fields { return edit.Fields{ID: &x.ID, Version: x.Version} },
		Read:   c.store.CommentNow, Visible: c.visible, Replace: c.store.ChangeComment,
	}
}

// change changes a comment as edit.Kind.Change does. The id may be that of its submission.
func (c *Comments) change(ctx context.Context, in edit.Change[store.Comment]) (*store.Submission, error) {
	in.ID = commentOf(in.ID)
	out, err := c.comments.Change(ctx, in)
	if out.Current != nil {
		err = problem.New(problem.Conflict, "the comment has changed in the meantime: it has version %d now", out.Current.Version).At("expectedVersion")
	}
	return (*store.Submission)(out.Value), err
}

// commentOf returns the id of a comment, for this id or that of its submission.
func commentOf(i id.ID) id.ID {
	if i.Kind() == id.Submission {
		return i.As(id.Comment)
	}
	return i
}

// visible returns NotFound unless the comment is shown, or v may see it in any status.
func (c *Comments) visible(ctx context.Context, v access.Viewer, x *store.Comment) error {
	if (*store.Submission)(x).VisibleTo(v) {
		return nil
	}
	shown, err := publicComments(ctx, c.store, []id.ID{x.ID})
	if err == nil && shown[0] == nil {
		err = problem.New(problem.NotFound, "there is no such comment")
	}
	return err
}

// publicComments returns the comments that are shown, under articles that are public; nil for each
// other id.
func publicComments(ctx context.Context, s *store.Store, ids []id.ID) ([]*store.Comment, error) {
	found, err := s.ShownComments(ctx, ids, s.Children)
	if err != nil {
		return nil, err
	}
	return store.UnderPublic(ctx, found, func(ctx context.Context, ids []id.ID) ([]*store.Article, error) {
		return store.Articles.All(ctx, s, ids)
	})
}

// EditableUntil returns the end of the time in which the author can change x, while it is shown or
// waits for approval.
func EditableUntil(x *store.Submission) *time.Time {
	until := editableUntil(x.CreatedAt)
	return &until
}

func editableUntil(written time.Time) time.Time { return written.Add(editFor) }

// refusedText returns Invalid at a path for a text beyond a limit of markdown, and any other error
// as it is.
func refusedText(err error, path ...string) error {
	if errors.As(err, new(*markdown.Refusal)) {
		return problem.New(problem.Invalid, "%s", err).At(path...)
	}
	return err
}

func (c *Comments) throttle(ctx context.Context, uses ...rate.Use) error {
	wait, _, err := c.limiter.TakeAll(ctx, uses)
	if err != nil {
		return fmt.Errorf("count comments: %w", err)
	}
	if wait <= 0 {
		return nil
	}
	return problem.TooMuch("this is too much at once", wait)
}
