import intriguing_tf as itf

model = itf.zoo.load("mnist/fc100-100-10")  # pretrained, verified, offline
images, labels = itf.datasets.mnist_sample()  # 1 000 test digits in the package
result = itf.LBFGSAdversary(model)(images[:64], labels[:64])
print(result)
