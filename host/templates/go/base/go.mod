module {{ident}}

go 1.21

require github.com/fusebox/fusebox/guest-sdk/go v0.0.0

// The host's calls, for functions with grants.
replace github.com/fusebox/fusebox/guest-sdk/go => ./fusebox
