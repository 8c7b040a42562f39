"""The commands of `source-stripe-native`. The image does not have them."""
