module github.com/fusebox/fusebox/guest-sdk/go

go 1.21
