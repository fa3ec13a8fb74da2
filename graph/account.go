package graph

// Root fields about accounts: account and accounts, and the mutations that register, change and
// delete accounts.

import (
	"context"

	"stoa/account"
	"stoa/dataloader"
	"stoa/graph/generated"
	"stoa/id"
	"stoa/store"
)

func (q query) Account(ctx context.Context, i id.ID) (*store.Account, error) {
	return orNull(q.AccountService.Account(ctx, i))
}

func (q query) Accounts(ctx context.Context, first *int, after *string, last *int, before *string, where *account.Where) (*dataloader.AccountConnection, error) {
	list, err := q.AccountService.Accounts(ctx, where, window(first, after, last, before))
	return listed(accounts(loaders(ctx)), list, err)
}

func (m mutation) AccountRegister(ctx context.Context, in account.Registration) (*generated.AccountRegisterPayload, error) {
	errs, err := accountErrors(m.AccountService.Register(ctx, in))
	return &generated.AccountRegisterPayload{UserErrors: errs}, err
}

func (m mutation) AccountVerify(ctx context.Context, in account.Coming) (*generated.AccountVerifyPayload, error) {
	made, errs, err := orAccountErrors(m.AccountService.Verify(ctx, in))
	return &generated.AccountVerifyPayload{Account: made, UserErrors: errs}, err
}

func (m mutation) AccountUpdate(ctx context.Context, in account.Update) (*generated.AccountUpdatePayload, error) {
	changed, errs, err := orAccountErrors(m.AccountService.Update(ctx, in))
	return &generated.AccountUpdatePayload{Account: changed, UserErrors: errs}, err
}

func (m mutation) AccountDelete(ctx context.Context, in account.Deletion) (*generated.AccountDeletePayload, error) {
	errs, err := accountErrors(m.AccountService.Delete(ctx, in))
	return &generated.AccountDeletePayload{UserErrors: errs}, err
}

func (m mutation) AccountRoleSet(ctx context.Context, in account.RoleChange) (*generated.AccountRoleSetPayload, error) {
	changed, errs, err := orAccountErrors(m.AccountService.SetRole(ctx, in))
	return &generated.AccountRoleSetPayload{Account: changed, UserErrors: errs}, err
}

func (m mutation) EmailChangeRequest(ctx context.Context, in account.EmailRequest) (*generated.EmailChangeRequestPayload, error) {
	errs, err := accountErrors(m.AccountService.RequestEmail(ctx, in))
	return &generated.EmailChangeRequestPayload{UserErrors: errs}, err
}

func (m mutation) EmailChangeConfirm(ctx context.Context, in account.Coming) (*generated.EmailChangeConfirmPayload, error) {
	changed, errs, err := orAccountErrors(m.AccountService.ConfirmEmail(ctx, in))
	return &generated.EmailChangeConfirmPayload{Account: changed, UserErrors: errs}, err
}

func (m mutation) PasswordChange(ctx context.Context, in account.NewPassword) (*generated.PasswordChangePayload, error) {
	signed, errs, err := orAccountErrors(m.AccountService.ChangePassword(ctx, in))
	return &generated.PasswordChangePayload{Session: signed.Session, Token: signed.Token, UserErrors: errs}, err
}

func (m mutation) PasswordResetRequest(ctx context.Context, in account.ResetRequest) (*generated.PasswordResetRequestPayload, error) {
	errs, err := accountErrors(m.AccountService.RequestReset(ctx, in))
	return &generated.PasswordResetRequestPayload{UserErrors: errs}, err
}

func (m mutation) PasswordReset(ctx context.Context, in account.Reset) (*generated.PasswordResetPayload, error) {
	errs, err := accountErrors(m.AccountService.Reset(ctx, in))
	return &generated.PasswordResetPayload{UserErrors: errs}, err
}
