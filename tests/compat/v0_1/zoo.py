import intriguing_tf as itf

itf.zoo.list("mnist/*")                        # names; wildcards
itf.zoo.list(classes=1000, format="caffe")     # and filters: any field of a card
print(itf.zoo.info("mnist/fc100-100-10"))      # the card: what it is, and what was measured
model = itf.zoo.load("mnist/fc100-100-10")     # a built Keras model: images in card.bounds → logits
fresh = itf.zoo.load("mnist/fc100-100-10", weights=False)   # the same network, untrained
path = itf.zoo.path("mnist/fc100-100-10")      # the verified file; Keras opens it itself
