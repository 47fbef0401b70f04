from intriguing_tf.experiments import Figures3And4


def test_figures_3_and_4_compare_distances_only(linear_network, images):
    model, other = linear_network(), linear_network(5)
    x = images(30)
    result = Figures3And4(k=3, number=20).run(model, "logits", x, other, "logits")
    text = str(result)
    assert "distance" in text and "purity" not in text and "Exploratory" in text
    units, directions = result.pictures(x, shown=2)
    assert units.svg() != directions.svg()
