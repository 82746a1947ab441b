# Mail::DKIM as a filter for test_peers.py: one JSON object on standard input, one on standard output.
#   {"zone": {name: text}, "verify": [base64 of a message]}                                   -> {"results": [text]}
#   {"sign": [base64 of a message], "pem": file, "method": "relaxed", "domain": d, "selector": s} -> {"fields": [base64]}
use strict;
use warnings;
use JSON::PP;
use MIME::Base64;
use Mail::DKIM::Verifier;
use Mail::DKIM::Signer;
use Net::DNS::RR;

my $input = decode_json(do { local $/; <STDIN> });

# Keys come from the input and not from the network.
no warnings 'redefine';
*Mail::DKIM::DNS::query = sub {
    my ($name, $type) = @_;
    my $text = $input->{zone}{$name};
    $@ = 'NXDOMAIN';
    return unless defined $text;
    return Net::DNS::RR->new(name => $name, type => 'TXT', txtdata => [unpack '(a255)*', $text]);
};

my %output;
for my $each (@{$input->{verify} || []}) {
    my $verifier = Mail::DKIM::Verifier->new();
    $verifier->PRINT(decode_base64($each));
    $verifier->CLOSE;
    push @{$output{results}}, join ',', map { $_->result_detail } $verifier->signatures;
}
for my $each (@{$input->{sign} || []}) {
    my $signer = Mail::DKIM::Signer->new(
        Algorithm => 'rsa-sha256', Method => $input->{method}, Domain => $input->{domain},
        Selector => $input->{selector}, KeyFile => $input->{pem});
    $signer->PRINT(decode_base64($each));
    $signer->CLOSE;
    push @{$output{fields}}, encode_base64($signer->signature->as_string . "\r\n", '');
}
print encode_json(\%output);
