#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# Text work: hashes of long strings, sorting, substitutions, sprintf, pack, and growing and shrinking buffers.
use strict;
use warnings;

srand(1);

sub paragraph {
    my ($words) = @_;
    return join ' ', map { join '', map { chr(97 + int rand 26) } 1 .. 2 + int rand 9 } 1 .. $words;
}

my %library;
my @seeds = map { paragraph(200) } 1 .. 40;

for my $round (1 .. 30000) {
    my $text = $seeds[rand @seeds] x (1 + int rand 20);
    $text =~ s/\b(\w)(\w+)/$2$1/g if $round % 8 == 0;
    $library{ int rand 400 } = $text . sprintf '%08d', $round;
    my @parts = split /e/, $text;
    my $joined = join '--', sort @parts[0 .. (@parts > 400 ? 400 : $#parts)];
    my $packed = pack 'N*', map { length } @parts;
    my $buffer = '';
    $buffer .= $packed for 1 .. 1 + int rand 30;
    substr $buffer, 0, length($buffer) / 2, '';
    delete $library{ int rand 400 } if $round % 3 == 0;
}
print scalar(keys %library), "\n";
